//! The examples: a folder each, with a manifest and a story, and programs that use the core as a library.
//!
//! - `src/bin/embed.rs` runs a whole orchestrator inside a program, on fakes.
//! - `tests/decide.rs` tests single decisions of the pure part.

/// One example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Story {
    /// Its folder beside this crate's manifest.
    pub folder: &'static str,
    /// What it shows.
    pub shows: &'static str,
}

/// Every example, the simplest first.
pub const STORIES: [Story; 5] = [
    Story { folder: "whoami", shows: "three replicas share the requests of one host" },
    Story { folder: "worker", shows: "replicas that nobody sends requests to" },
    Story { folder: "two-paths", shows: "two apps on one host, told apart by path" },
    Story { folder: "env-and-volume", shows: "what a replica is told, and what outlives it" },
    Story { folder: "config-and-secret", shows: "passwords and configuration that nothing shows" },
];
