#include "base/event.h"

ac_status ac_emit(const ac_sink *s, const ac_event *e, ac_err *err)
{
    if (!s || !s->emit) return AC_OK;
    return s->emit(s->ctx, e, err);
}
