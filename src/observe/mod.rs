//! What is seen of pools and services: plain values, which steer nothing.
