/*
 * states_tmpl.h - part of body_tmpl.h: linear systems of few states, over whole sequences.
 * MegaStatePass (kernels.h) states the formula.
 */

/* x += step x + in u */
INLINE void step_states(V step[][MEGA_MOST_STATES], const V *in, V u, V *x, const size_t states)
{
    V change[MEGA_MOST_STATES];
    for (size_t i = 0; i < states; i++) {
        change[i] = in[i] * u;
        for (size_t j = 0; j < states; j++)
            change[i] = multiply_add(step[i][j], x[j], change[i]);
    }
    for (size_t i = 0; i < states; i++)
        x[i] += change[i];
}

/* Runs a pass for systems of `states` states, a constant where this is inlined, so that the states
 * stay in registers. */
INLINE void run_systems(const MegaStatePass *pass, size_t first, size_t count,
                            const size_t states)
{
    V step[MEGA_MOST_STATES][MEGA_MOST_STATES], in[MEGA_MOST_STATES], out[MEGA_MOST_STATES];
    V x[MEGA_MOST_STATES];
    const size_t h = pass->features;
    const V d = load_some(pass->d + first, count);
    for (size_t i = 0; i < states; i++) {
        for (size_t j = 0; j < states; j++)
            step[i][j] = load_some(pass->step + (i * states + j) * h + first, count);
        in[i] = load_some(pass->in + i * h + first, count);
        out[i] = load_some(pass->out + i * h + first, count);
        x[i] = splat(0);
    }
    for (size_t t = 0; t < pass->length && !pass->backward; t++) {
        const V u = load_some(pass->u + t * h + first, count);
        V y = d * u;
        step_states(step, in, u, x, states);
        for (size_t i = 0; i < states; i++)
            y = multiply_add(out[i], x[i], y);
        store_some(pass->y + t * pass->width + first, y, count);
    }
    for (size_t t = pass->length; t-- > 0 && pass->backward;) {
        float *at = pass->y + t * pass->width + first;
        V y = load_some(at, count);
        for (size_t i = 0; i < states; i++)
            y = multiply_add(out[i], x[i], y);
        store_some(at, y, count);
        step_states(step, in, load_some(pass->u + t * h + first, count), x, states);
    }
}

static void run_states(const MegaStatePass *pass, size_t first, size_t count)
{
    if (pass->states == 2)
        run_systems(pass, first, count, 2);
    else
        run_systems(pass, first, count, 4);
}
