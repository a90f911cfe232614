/*
 * ledger.h - counts the memory of a session and of everything made with it, and limits it: the
 * arena, decoders, encoded sources, searches and the tools' inputs. Every object with memory in a
 * ledger owns a reference to it, since an encoded source may be freed after its session.
 */
#ifndef MEGA_LEDGER_H
#define MEGA_LEDGER_H

#include "src/mega.h"

typedef struct MegaLedger MegaLedger;

/* `model` bytes count as taken from the start. `limit` caps all bytes together; 0 means no limit.
 * Returns NULL if there is no memory. */
MegaLedger *mega_ledger_new(uint64_t model, uint64_t limit);
/* Adds a reference and returns the ledger. */
MegaLedger *mega_ledger_hold(MegaLedger *ledger);
/* Gives a reference back; the last one frees the ledger. NULL is legal. */
void mega_ledger_drop(MegaLedger *ledger);

/* Returns MEGA_ERR_LIMIT if `bytes` more would exceed the limit. The message begins with `what`,
 * which says what they are for. */
int mega_ledger_check(const MegaLedger *ledger, uint64_t bytes, const char *what, MegaError *err);
/* Returns how many bytes may still be taken, or UINT64_MAX if there is no limit. */
uint64_t mega_ledger_left(const MegaLedger *ledger);
/* Changes an object's share from `from` to `to` bytes, or fails as mega_ledger_check does. Giving
 * bytes back never fails. */
int mega_ledger_change(MegaLedger *ledger, uint64_t from, uint64_t to, const char *what,
                       MegaError *err);
/* Returns the most bytes that were taken at one time, the model's included. */
uint64_t mega_ledger_peak(const MegaLedger *ledger);

/* Writes the message for `needed` bytes, of which the model takes `model`, and returns
 * MEGA_ERR_LIMIT. */
int mega_ledger_fail(uint64_t needed, uint64_t model, uint64_t limit, const char *what,
                     MegaError *err);

#endif
