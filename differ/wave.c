#include "differ/wave.h"

#include "differ/application.h"
#include "differ/drift.h"

int wave_under_way(const struct application *application)
{
    const struct desired_set *desired = application->desired;
    int wave = WAVE_ALL;
    for (size_t i = 0; desired->has_waves && i < desired->count; i++) {
        const struct desired_object *object = &desired->objects[i];
        const struct live_object *live = live_get(application->differ->live, object->key);
        if (object->wave < wave && (drift_judge(object, live) == DRIFT_NEW ||
                                    health_of_object(object, live) != HEALTH_CURRENT)) {
            wave = object->wave;
        }
    }
    return wave;
}
