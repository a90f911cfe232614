/*
 * ledger.h - how much memory a session and all that is made with it take and may take: its arena,
 * decoders, encoded sources, searches, and the tools' inputs. Whoever has memory in a ledger holds
 * it, since an encoded source may be freed after its session.
 */
#ifndef MEGA_LEDGER_H
#define MEGA_LEDGER_H

#include "src/mega.h"

typedef struct MegaLedger MegaLedger;

/* model: bytes that are taken from the beginning. limit: of all bytes; 0: none. NULL: no memory. */
MegaLedger *mega_ledger_new(uint64_t model, uint64_t limit);
MegaLedger *mega_ledger_hold(MegaLedger *ledger);
void mega_ledger_drop(MegaLedger *ledger);

/* Whether `bytes` more are allowed; what they are for begins the message. MEGA_ERR_LIMIT. */
int mega_ledger_check(const MegaLedger *ledger, uint64_t bytes, const char *what, MegaError *err);
/* How many bytes may still be taken; UINT64_MAX: any. */
uint64_t mega_ledger_left(const MegaLedger *ledger);
/* What took `from` bytes takes `to` from now on, unless that is not allowed. Less always is. */
int mega_ledger_change(MegaLedger *ledger, uint64_t from, uint64_t to, const char *what,
                       MegaError *err);
/* The most bytes that were taken at once, the model's among them. */
uint64_t mega_ledger_peak(const MegaLedger *ledger);

/* The message for `needed` bytes, of which `model` are the model's. */
int mega_ledger_fail(uint64_t needed, uint64_t model, uint64_t limit, const char *what,
                     MegaError *err);

#endif
