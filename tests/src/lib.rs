//! Test kit of the end-to-end tests: a [`scenario`] with an instance of its own, the program as
//! users run it ([`program`]), [`checks`] on observable behaviour, requests ([`http`]), load
//! ([`load`]) and websockets ([`websocket`]). [`mod@bench`] measures the program with the same
//! means. [`browser`] drives a real browser.
//!
//! A test drives the built program on a real engine with a real nginx. It shows only what no
//! lower test level can show.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

pub mod bench;
pub mod browser;
pub mod checks;
pub mod closing;
pub mod document;
pub mod engine_proxy;
pub mod h2c;
pub mod http;
pub mod load;
pub mod manager;
pub mod manifest;
pub mod own_engine;
pub mod pebble;
pub mod port;
pub mod program;
pub mod registry;
mod report;
pub mod scenario;
pub mod server;
mod slots;
pub mod sshd;
pub mod swarm;
pub mod terminal;
pub mod unit;
pub mod websocket;

pub use checks::eventually;
pub use manifest::{app, busybox, whoami};
pub use scenario::Scenario;

/// Returns an [`E2eTest`](scenario::E2eTest) with the name of the calling test function and the
/// program built along with the tests.
#[macro_export]
macro_rules! e2e {
    () => {{
        fn marker() {}
        $crate::scenario::E2eTest::new(
            std::any::type_name_of_val(&marker),
            env!("CARGO_BIN_EXE_dubernetes-under-test"),
        )
    }};
}
