//! The problem, shown: four programs of a dozen lines that go wrong with other pools, every time, and not with this one.
//!
//! Each is a test: `cargo test -p benches --test problem`. A program runs in a process of its own, so that one that hangs can be
//! ended and one that grows can be measured.

#[cfg(test)]
mod child;
#[cfg(test)]
mod lock;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod threads;
#[cfg(test)]
mod wait;
