//! See `fanpool_fuzz`.
#![no_main]

fanpool_fuzz::target!("message");
