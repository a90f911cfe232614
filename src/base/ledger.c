/*
 * ledger.c - see ledger.h.
 */
#include "src/base/ledger.h"

#include <stdatomic.h>
#include <stdlib.h>

struct MegaLedger {
    atomic_int owners;
    atomic_uint_fast64_t taken, peak; /* bytes that are not the model's */
    uint64_t model, limit;
};

MegaLedger *mega_ledger_new(uint64_t model, uint64_t limit)
{
    MegaLedger *ledger = calloc(1, sizeof *ledger);
    if (!ledger)
        return NULL;
    atomic_init(&ledger->owners, 1);
    ledger->model = model;
    ledger->limit = limit;
    return ledger;
}

MegaLedger *mega_ledger_hold(MegaLedger *ledger)
{
    atomic_fetch_add(&ledger->owners, 1);
    return ledger;
}

void mega_ledger_drop(MegaLedger *ledger)
{
    if (ledger && atomic_fetch_sub(&ledger->owners, 1) == 1)
        free(ledger);
}

int mega_ledger_fail(uint64_t needed, uint64_t model, uint64_t limit, const char *what,
                     MegaError *err)
{
    return mega_fail(err, MEGA_ERR_LIMIT,
                     "%s needs %.1f MB of memory, of which %.1f MB are the model; %.1f MB are "
                     "allowed",
                     what, (double)needed / 1e6, (double)model / 1e6, (double)limit / 1e6);
}

int mega_ledger_check(const MegaLedger *ledger, uint64_t bytes, const char *what, MegaError *err)
{
    uint64_t needed = ledger->model + atomic_load(&ledger->taken);
    needed = bytes > UINT64_MAX - needed ? UINT64_MAX : needed + bytes;
    if (ledger->limit == 0 || needed <= ledger->limit)
        return 0;
    return mega_ledger_fail(needed, ledger->model, ledger->limit, what, err);
}

uint64_t mega_ledger_left(const MegaLedger *ledger)
{
    const uint64_t used = ledger->model + atomic_load(&ledger->taken);
    if (ledger->limit == 0)
        return UINT64_MAX;
    return used < ledger->limit ? ledger->limit - used : 0;
}

int mega_ledger_change(MegaLedger *ledger, uint64_t from, uint64_t to, const char *what,
                       MegaError *err)
{
    int code = to > from ? mega_ledger_check(ledger, to - from, what, err) : 0;
    if (code)
        return code;
    /* to - from wraps around if bytes are given back, and so does the sum */
    uint64_t taken = atomic_fetch_add(&ledger->taken, to - from) + (to - from);
    uint64_t peak = atomic_load(&ledger->peak);
    while (taken > peak && !atomic_compare_exchange_weak(&ledger->peak, &peak, taken))
        ;
    return 0;
}

uint64_t mega_ledger_peak(const MegaLedger *ledger)
{
    return ledger->model + atomic_load(&ledger->peak);
}
