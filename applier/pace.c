#include "applier/pace.h"

void pace_init(struct pace *pace, unsigned maximum)
{
    *pace = (struct pace){.maximum = maximum < 1 ? 1 : maximum};
    pace->window = pace->maximum < PACE_START ? pace->maximum : PACE_START;
}

bool pace_has_room(const struct pace *pace)
{
    return pace->in_flight < (unsigned)pace->window;
}

void pace_started(struct pace *pace)
{
    pace->in_flight++;
}

void pace_finished(struct pace *pace, bool congested)
{
    bool was_full = !pace_has_room(pace);
    pace->in_flight--;
    bool old = pace->deaf > 0;
    if (old) {
        pace->deaf--;
    }
    if (congested && !old) {
        pace->window = pace->window / 2 < 1 ? 1 : pace->window / 2;
        pace->deaf = pace->in_flight;
        pace->congested++;
    } else if (!congested && was_full && pace->window < pace->maximum) {
        /* Only a window that was used has shown that it is not too large. */
        pace->window += 1 / pace->window;
        if (pace->window > pace->maximum) {
            pace->window = pace->maximum;
        }
    }
}
