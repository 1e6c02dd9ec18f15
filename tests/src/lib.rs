//! What the end-to-end tests are made of: a [`scenario`] with an instance of its own, the
//! program as users run it ([`program`]), what can be seen from outside ([`checks`]), requests
//! ([`http`]), a stream of them ([`load`]), and websockets ([`websocket`]).
//!
//! A test is one story about the built program, a real engine and a real nginx; what a lower
//! level can show is shown there.

#![expect(clippy::unwrap_used, reason = "an unwrap that fails is a test that fails")]

pub mod checks;
pub mod document;
pub mod door;
pub mod http;
pub mod load;
pub mod manifest;
pub mod port;
pub mod program;
pub mod registry;
mod report;
pub mod scenario;
mod slots;
pub mod terminal;
pub mod websocket;

pub use checks::eventually;
pub use manifest::{app, busybox, whoami};
pub use scenario::Scenario;

/// The test that this stands in: its name, and the program that was built along with it.
#[macro_export]
macro_rules! here {
    () => {{
        fn place() {}
        $crate::scenario::Test::new(
            std::any::type_name_of_val(&place),
            env!("CARGO_BIN_EXE_dubernetes-under-test"),
        )
    }};
}
