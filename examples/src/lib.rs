//! The examples: a folder for each, with a manifest and a README, and programs that embed
//! Dubernetes.
//!
//! - `src/bin/embed.rs` runs a whole orchestrator inside a program, on fakes.
//! - `tests/decide.rs` tests single decisions of the planner.

/// An example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Example {
    /// Folder beside this crate's manifest.
    pub folder: &'static str,
    /// What the example shows.
    pub shows: &'static str,
}

/// All examples, the simplest first.
pub const EXAMPLES: [Example; 6] = [
    Example { folder: "whoami", shows: "three replicas share the requests for one host" },
    Example { folder: "worker", shows: "replicas without requests" },
    Example { folder: "two-paths", shows: "two apps on one host with different paths" },
    Example { folder: "env-and-volume", shows: "environment variables and persistent volumes" },
    Example { folder: "config-and-secret", shows: "configuration and secrets from files" },
    Example { folder: "web-and-database", shows: "an app that reaches another by its name" },
];

/// The examples of the embedding guide, which are doc tests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/embedding.md")]
struct EmbeddingGuide;
