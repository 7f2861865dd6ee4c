//! What `loom-tests` needs to see of the inside.

/// The conformance cases of the model's primitives, by name.
pub fn conformance() -> &'static [(&'static str, fn())] {
    crate::sync::conformance::CASES
}
