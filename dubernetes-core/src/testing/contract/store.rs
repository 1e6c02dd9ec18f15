//! The contract of the trait. Under construction.
