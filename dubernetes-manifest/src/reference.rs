//! The reference of the manifest: every key with its meaning, values, default and example.
//!
//! The table in `table.rs` is the only description of the keys. From it come the keys that the
//! reader accepts and the examples in its messages, the JSON schemas of the file and of the API
//! ([`schema()`]), `dubernetes explain` and `dubernetes init`, and the table in docs/file.md
//! ([`markdown_table`]).
//!
//! # Adding a key
//!
//! 1. The field in `dubernetes-core/src/app.rs`, or in the file of its object below `app/`.
//! 2. Its row in `table.rs`, with its grammar in `grammar.rs` if no existing one fits.
//! 3. Its reading in `check.rs` or the file of its object below `check/`.
//!
//! Tests fail until all three agree. Then add the key to `tests/manifests/good/everything.yaml`
//! and an invalid value to `tests/manifests/bad`, and run `cargo xtask generate`.
//!
//! # Modules, in reading order
//!
//! `key` is the shape of a row, `grammar` describes texts, `table` and `lifecycle` hold the rows,
//! `hints` and `lookup` find keys, `schema` and `markdown` print the table.

mod grammar;
mod hints;
mod key;
mod lifecycle;
mod lookup;
mod markdown;
mod schema;
mod table;
#[cfg(test)]
mod tests;

pub use grammar::{Grammar, Scalars};
pub use key::{DefaultValue, Key, Kind, ListKind, ObjectKind};
pub use lifecycle::{HEALTH, PRE_DEPLOY, ROLLOUT, STOP};
pub use lookup::{UnknownKey, all_keys, find};
pub use markdown::markdown_table;
pub use schema::{Form, schema};
pub use table::{ACCESS, APP, CONFIG_FILE, CONTENT, CONTENT_REF, RESOURCES, ULIMITS};

pub(crate) use hints::{foreign_key_hint, unknown_key_hint};
pub(crate) use lookup::{ROOT, example};
