//! Explanations of plans: why an app is in its state, what a plan leads to, and why a recorded
//! plan was made. Pure functions over the input and the output of [`crate::reconcile()`].

pub mod forecast;
pub mod replay;
pub mod why;

mod chain;
mod remedies;
