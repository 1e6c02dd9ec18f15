//! The contract of [`ContainerRuntime`]: what its documentation promises, checked through the
//! trait alone, on an engine or on a fake.

mod bench;
mod commands;
mod dialing;
mod lifecycle;
mod watching;

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;

use dubernetes_core::app::{ImageRef, InstanceName};
use dubernetes_core::runtime::ContainerRuntime;

use self::bench::ContractHarness;

/// What the suite has to know about the runtime and may not find out by itself.
#[derive(Debug, Clone)]
pub struct Facts {
    /// An instance that nothing else uses. All it owns is removed, before and afterwards.
    pub instance: InstanceName,
    /// Another one, likewise.
    pub other_instance: InstanceName,
    /// An image that is on the engine. With [`Facts::real_commands`] it has `sh`, `cat`, `head`,
    /// `httpd`, `ls`, `printf`, `sleep` and `stty`; else a container of it runs until a signal
    /// that stops it.
    pub image: ImageRef,
    /// An image that neither the engine nor any registry has.
    pub missing_image: ImageRef,
    /// Whether commands really run, write output and listen on addresses that this process
    /// reaches. Without it, the checks that need a process are left out, and nothing else.
    pub real_commands: bool,
}

/// Checks every promise, in order, and removes what it made, even if one is broken.
///
/// # Panics
///
/// At the first broken promise, with the promise in the message.
pub async fn run(runtime: &dyn ContainerRuntime, facts: &Facts) {
    bench::sweep(runtime, facts).await;
    let outcome = AssertUnwindSafe(check_all(runtime, facts)).catch_unwind().await;
    bench::sweep(runtime, facts).await;
    if let Err(broken) = outcome {
        std::panic::resume_unwind(broken);
    }
}

async fn check_all(runtime: &dyn ContainerRuntime, facts: &Facts) {
    lifecycle::engine_names_itself(runtime).await;
    lifecycle::networks(runtime, facts).await;
    lifecycle::claims(runtime, facts).await;
    lifecycle::images(runtime, facts).await;
    let bench = ContractHarness::new(runtime, facts).await;
    lifecycle::missing_containers(&bench).await;
    lifecycle::creating(&bench).await;
    lifecycle::starting_and_stopping(&bench).await;
    lifecycle::removing(&bench).await;
    lifecycle::foreign_containers(&bench).await;
    lifecycle::limits_and_settings(&bench).await;
    watching::events(&bench).await;
    watching::stats(&bench).await;
    commands::refused_where_nothing_runs(&bench).await;
    commands::files_into_a_created_container(&bench).await;
    commands::created_with_files(&bench).await;
    if facts.real_commands {
        commands::output_and_exit_codes(&bench).await;
        commands::input(&bench).await;
        commands::files_are_read_back(&bench).await;
        commands::first_files_are_there_at_the_start(&bench).await;
        commands::failing_commands(&bench).await;
        watching::logs(&bench).await;
        dialing::reachable_endpoint(&bench).await;
    }
}
