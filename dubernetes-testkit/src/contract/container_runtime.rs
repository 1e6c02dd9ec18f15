//! The contract of [`ContainerRuntime`]: the promises of its documentation, checked through the
//! trait alone, on an engine or on a fake.
//!
//! The suite is data: [`checks`] lists every [`Check`] with its promise and with the capabilities
//! that it needs. The suite works on the instances of [`Facts`] alone, and removes all they own
//! before and after the checks.

mod commands;
mod endpoint;
mod files;
mod harness;
mod images;
mod lifecycle;
mod owners;
mod ports;
mod watching;

use std::fmt;

use futures_util::future::BoxFuture;

use dubernetes_core::app::{ImageRef, InstanceName};
use dubernetes_core::runtime::{Capability, ContainerRuntime};

use self::harness::ContractHarness;
use super::report::Report;

/// What the suite cannot find out from the runtime.
#[derive(Debug, Clone)]
pub struct Facts {
    /// An instance for the suite alone. Everything it owns is removed, before and after.
    pub instance: InstanceName,
    /// Another instance for the suite alone.
    pub other_instance: InstanceName,
    /// An image that is on the engine. With [`Facts::real_commands`] the image has `sh`, `cat`,
    /// `head`, `httpd`, `id`, `ls`, `printf`, `sleep` and `stty`; otherwise its containers run
    /// until a signal stops them.
    pub image: ImageRef,
    /// An image that neither the engine nor a registry has.
    pub missing_image: ImageRef,
    /// Whether containers run real processes, whose output and listeners this process can reach.
    /// If `false`, the checks that need a process are skipped.
    ///
    /// **Leave this off for a runtime without isolation.** The commands write files such as
    /// `/all`, `/index.html`, `/etc/contract` and `/root/b`, and listen on port 80: without a file
    /// system and a network of the container's own, those are files and ports of the host.
    pub real_commands: bool,
}

/// One promise of a runtime, and how it is checked.
#[derive(Clone, Copy)]
pub struct Check {
    /// The name, unique in the suite.
    pub name: &'static str,
    /// What every runtime promises.
    pub promise: &'static str,
    /// The capabilities without which the check is skipped.
    pub needs: &'static [Capability],
    /// Whether the check is skipped without [`Facts::real_commands`].
    pub needs_commands: bool,
    run: Run,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A check starts without any object, or with a network and an image.
#[derive(Clone, Copy)]
enum Run {
    Bare(for<'a> fn(&'a dyn ContainerRuntime, &'a Facts) -> BoxFuture<'a, ()>),
    Prepared(for<'a> fn(&'a ContractHarness<'a>) -> BoxFuture<'a, ()>),
}

macro_rules! check {
    (bare $group:ident::$name:ident, [$($need:ident),*], $promise:literal) => {
        Check {
            name: stringify!($name),
            promise: $promise,
            needs: &[$(Capability::$need),*],
            needs_commands: false,
            run: Run::Bare(|runtime, facts| Box::pin($group::$name(runtime, facts))),
        }
    };
    ($group:ident::$name:ident, [$($need:ident),*], $promise:literal) => {
        Check {
            name: stringify!($name),
            promise: $promise,
            needs: &[$(Capability::$need),*],
            needs_commands: false,
            run: Run::Prepared(|harness| Box::pin($group::$name(harness))),
        }
    };
    (commands $group:ident::$name:ident, [$($need:ident),*], $promise:literal) => {
        Check { needs_commands: true, ..check!($group::$name, [$($need),*], $promise) }
    };
}

/// Returns every check, in the order in which they run.
pub fn checks() -> Vec<Check> {
    [bare_checks(), lifecycle_checks(), part_checks(), command_checks()].concat()
}

fn bare_checks() -> Vec<Check> {
    vec![
        check!(bare owners::engine_has_a_name, [], "an engine describes itself"),
        check!(
            bare owners::capabilities_match_parts, [],
            "a part is offered exactly where its capability is"
        ),
        check!(
            bare owners::each_instance_has_a_network, [PlannedAddresses],
            "each instance has a network of its own, made once"
        ),
        check!(
            bare owners::instance_has_one_owner, [PlannedAddresses],
            "an instance is claimed by one state at a time"
        ),
        check!(bare owners::images_resolve_to_ids, [], "an image resolves to one immutable id"),
    ]
}

fn lifecycle_checks() -> Vec<Check> {
    vec![
        check!(
            lifecycle::missing_container_is_not_found,
            [],
            "a missing container is `not found`, but stopped and removed with success"
        ),
        check!(
            lifecycle::create_keeps_name_labels_and_image,
            [],
            "a created container has what was requested, and does not run"
        ),
        check!(lifecycle::name_is_given_once, [], "a container name is given once"),
        check!(
            lifecycle::unknown_image_is_an_image_error,
            [],
            "a container is not created from an image that is not on the engine"
        ),
        check!(
            lifecycle::missing_capability_is_refused,
            [],
            "a request that needs a missing capability is refused, not applied in part"
        ),
        check!(
            lifecycle::stop_ends_a_started_container,
            [],
            "start and stop are idempotent, and stop returns once the container has stopped"
        ),
        check!(
            lifecycle::stopped_container_starts_again,
            [],
            "a stopped container can start again"
        ),
        check!(
            lifecycle::remove_ends_any_state,
            [],
            "a container in any state is removed, and stays removed"
        ),
        check!(
            lifecycle::list_shows_own_instance,
            [],
            "a list shows the containers of one instance alone"
        ),
        check!(
            lifecycle::processes_are_those_of_a_running_container,
            [],
            "the processes of a running container are listed"
        ),
        check!(
            lifecycle::signal_needs_a_running_container,
            [],
            "a signal reaches running containers alone"
        ),
        check!(
            endpoint::running_container_has_an_endpoint,
            [],
            "a running container has an endpoint of its own, and no other container has one"
        ),
        check!(
            lifecycle::stop_uses_requested_signal,
            [],
            "a container stops by the signal of its request"
        ),
        check!(
            lifecycle::limited_container_runs,
            [Limits],
            "a container with limits runs, and its limits are reported"
        ),
    ]
}

/// Returns the checks of optional parts.
fn part_checks() -> Vec<Check> {
    vec![
        check!(
            watching::end_of_container_is_an_event,
            [Events],
            "the end of a container is followed by an event of that container"
        ),
        check!(watching::stats_grow, [Stats], "readings of one container never fall"),
        check!(
            commands::exec_needs_a_running_container,
            [Exec],
            "a command runs in running containers alone"
        ),
        check!(
            files::put_needs_a_container,
            [Files],
            "files are put into existing containers, and start nothing"
        ),
        check!(
            files::create_with_files_is_whole,
            [Files],
            "a container with files is created as a whole, or not at all"
        ),
        check!(
            images::saved_image_can_be_loaded,
            [Images],
            "what is loaded from an archive is the image that was saved"
        ),
        check!(
            images::broken_archive_is_an_error,
            [Images],
            "an archive that is malformed or breaks off is an error"
        ),
        check!(
            watching::missing_container_has_no_logs,
            [Logs],
            "the logs of a missing container are `not found`"
        ),
        check!(
            ports::port_of_the_host_has_one_owner,
            [Ports],
            "a container does not start with a port of the host that another one has, by TCP or UDP"
        ),
    ]
}

fn command_checks() -> Vec<Check> {
    vec![
        check!(
            commands commands::exit_code_is_kept, [],
            "the exit code of a process is kept"
        ),
        check!(
            commands lifecycle::stop_signals_then_kills, [Logs],
            "a stop sends the signal, and SIGKILL after the grace period"
        ),
        check!(
            commands commands::unknown_command_fails_the_start, [],
            "a command that is not found fails the start"
        ),
        check!(
            commands commands::output_and_exit_code_arrive, [Exec],
            "a command's output and exit code arrive as they are"
        ),
        check!(
            commands commands::no_shell_reads_a_command, [Exec],
            "a command's arguments arrive as they are"
        ),
        check!(commands commands::long_output_is_whole, [Exec], "long output arrives whole"),
        check!(
            commands commands::command_runs_as_user, [Exec],
            "a command runs as the user of its request"
        ),
        check!(
            commands commands::terminal_has_requested_size, [Exec, Tty],
            "a terminal has the size of its request"
        ),
        check!(
            commands commands::input_arrives_and_ends, [Exec],
            "input arrives, and ends where it is closed"
        ),
        check!(
            commands commands::attached_client_loses_no_output, [Exec],
            "a client that attaches before the start gets all output, and the exit code"
        ),
        check!(
            commands commands::attached_client_sees_a_kill, [Exec],
            "an attached client gets the exit code of a process that was killed"
        ),
        check!(
            commands files::files_and_secrets_exist_at_start, [Exec, Files],
            "files and secrets of a request exist when the process starts"
        ),
        check!(
            commands files::put_files_are_readable, [Exec, Files],
            "files and links that were put are read back"
        ),
        check!(
            commands watching::usage_is_measured, [Stats],
            "a busy process shows in the readings"
        ),
        check!(
            commands watching::logs_keep_order_and_streams, [Logs],
            "output is read line by line, in order, until the container stops"
        ),
        check!(
            commands endpoint::listener_is_reachable, [PlannedAddresses],
            "a listener in a container is reachable at the container's address"
        ),
        check!(
            commands ports::published_port_leads_to_the_listener, [Ports],
            "a published port of one address of the host leads to the listener in the container"
        ),
    ]
}

/// Runs every check, also after a failure, and removes everything that the suite has made.
pub async fn run_all(runtime: &dyn ContainerRuntime, facts: &Facts) -> Report {
    let mut report = Report::new("container runtime");
    harness::remove_all(runtime, facts).await;
    for check in checks() {
        if let Some(reason) = missing_need(&check, runtime, facts) {
            report.skip(check.name, check.promise, reason);
            continue;
        }
        let checked = async {
            match check.run {
                Run::Bare(run) => run(runtime, facts).await,
                Run::Prepared(run) => run(&ContractHarness::new(runtime, facts).await).await,
            }
        };
        if !report.run_check(check.name, check.promise, checked).await {
            // What a failed check has left would fail the next ones.
            harness::remove_all(runtime, facts).await;
        }
    }
    harness::remove_all(runtime, facts).await;
    report
}

/// Runs every check, and removes everything that the suite has made.
///
/// # Panics
///
/// With the whole report, if a promise is broken.
pub async fn run(runtime: &dyn ContainerRuntime, facts: &Facts) {
    run_all(runtime, facts).await.assert_passed();
}

/// Returns why a check cannot run.
fn missing_need(check: &Check, runtime: &dyn ContainerRuntime, facts: &Facts) -> Option<String> {
    let offered = runtime.capabilities();
    if let Some(missing) = check.needs.iter().find(|need| !offered.contains(need)) {
        return Some(format!("the runtime does not offer {}", missing.as_str()));
    }
    (check.needs_commands && !facts.real_commands)
        .then(|| "the runtime runs no real commands (`Facts::real_commands`)".to_owned())
}
