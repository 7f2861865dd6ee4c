//! What `loom-tests` needs to see of the inside.

/// The conformance cases of the model's primitives, by name.
pub fn conformance() -> &'static [(&'static str, fn())] {
    crate::sync::conformance::CASES
}

/// Makes `join` promote on [`tick`] alone and no longer at every fork.
pub fn promote_on_ticks_only(pool: &crate::Pool) {
    pool.forks().promote_on_ticks_only();
}

/// What the timer thread does every 100 microseconds.
pub fn tick(pool: &crate::Pool) {
    pool.forks().tick();
}
