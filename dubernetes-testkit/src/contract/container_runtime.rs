//! The contract of [`ContainerRuntime`]: the promises of its documentation, checked through the
//! trait alone, on an engine or on a fake.
//!
//! The suite works on the instances of [`Facts`] alone, and removes all they own before and after
//! the checks. It writes files below [`Facts::folder`] alone.

mod commands;
mod concurrency;
mod endpoint;
mod files;
mod harness;
mod images;
mod lifecycle;
mod logs;
mod owners;
mod ports;
mod process;
mod second;
mod stopping;
mod volumes;
mod watching;

use std::sync::Arc;

use async_trait::async_trait;

use dubernetes_core::app::{Artifact, InstanceName};
use dubernetes_core::runtime::{Capability, ContainerRuntime};

use self::harness::ContractHarness;
use super::check::{Check, Need, Subject, checks};

use Need::{Commands, SecondValue, Volume, WebServer};

/// A runtime that is checked, and its surroundings.
#[derive(Debug, Clone)]
pub struct RuntimeSubject {
    /// The runtime.
    pub runtime: Arc<dyn ContainerRuntime>,
    /// Another value for the same containers, as a restarted orchestrator has it. `None` skips the
    /// checks that need it.
    pub second: Option<Arc<dyn ContainerRuntime>>,
    /// What the suite cannot find out from the runtime.
    pub facts: Facts,
}

/// What the suite cannot find out from the runtime.
#[derive(Debug, Clone)]
pub struct Facts {
    /// An instance for the subject alone. Everything it owns is removed, before and after.
    pub instance: InstanceName,
    /// Another instance for the subject alone.
    pub other_instance: InstanceName,
    /// An image that is on the engine. With [`Facts::real_commands`] the image has `sh`, `cat`,
    /// `head`, `id`, `ls`, `mkdir`, `printf`, `sleep`, `stty` and `uname`; otherwise its containers
    /// run until a signal stops them.
    pub image: Artifact,
    /// An image that neither the engine nor a registry has.
    pub missing_image: Artifact,
    /// Whether containers run real processes. If `false`, the checks that need a process are
    /// skipped.
    pub real_commands: bool,
    /// An absolute path as containers see it, which need not exist. Every file that the suite or
    /// one of its processes writes is below it. If containers share the files of this host, the
    /// path is that of an empty folder for the subject alone: without [`Capability::Logs`], what
    /// processes print is read there.
    pub folder: String,
    /// A command for `sh` that serves the files of the directory that follows it, on the port of
    /// the variable `PORT`, or on port 80 without that variable.
    pub web_server: Option<String>,
    /// The name of a volume whose files may be changed. The suite cannot remove it.
    pub volume: Option<String>,
}

#[async_trait]
impl Subject for RuntimeSubject {
    const SUITE: &'static str = "container runtime";

    fn checks() -> Vec<Check<Self>> {
        let mut all = owner_checks();
        all.extend(lifecycle_checks());
        all.extend(concurrency_checks());
        all.extend(part_checks());
        all.extend(process_checks());
        all.extend(exec_checks());
        all.extend(file_checks());
        all.extend(output_checks());
        all
    }

    fn meets(&self, need: Need) -> bool {
        match need {
            Need::Capability(capability) => self.runtime.capabilities().contains(&capability),
            Commands => self.facts.real_commands,
            WebServer => self.facts.real_commands && self.facts.web_server.is_some(),
            Volume => self.facts.real_commands && self.facts.volume.is_some(),
            SecondValue => self.second.is_some(),
            _ => false,
        }
    }

    async fn clean(&self) {
        harness::remove_all(self).await;
    }
}

const EVENTS: Need = Need::Capability(Capability::Events);
const EXEC: Need = Need::Capability(Capability::Exec);
const FILES: Need = Need::Capability(Capability::Files);
const IMAGES: Need = Need::Capability(Capability::Images);
const LIMITS: Need = Need::Capability(Capability::Limits);
const LOGS: Need = Need::Capability(Capability::Logs);
const NETWORKS: Need = Need::Capability(Capability::PlannedAddresses);
const OPTIONS: Need = Need::Capability(Capability::ContainerOptions);
const PORTS: Need = Need::Capability(Capability::Ports);
const STATS: Need = Need::Capability(Capability::Stats);
const TTY: Need = Need::Capability(Capability::Tty);

fn owner_checks() -> Vec<Check<RuntimeSubject>> {
    checks! { |subject| &ContractHarness::new(subject).await;
        owners::engine_has_a_name [] "an engine describes itself";
        owners::capabilities_match_parts [] "a part is offered exactly where its capability is";
        owners::network_is_made_once [NETWORKS] "an instance has one network, made once";
        owners::networks_are_apart [NETWORKS] "the networks of two instances do not overlap";
        owners::removed_network_is_gone [NETWORKS]
            "a removed network is gone, and those of others stay";
        owners::address_has_one_container [NETWORKS]
            "a container does not start with the address of another one";
        owners::instance_has_one_owner [NETWORKS]
            "an instance is claimed by one state at a time";
        owners::images_resolve_to_ids [] "an image resolves to one immutable id";
        owners::missing_image_is_an_image_error [] "a missing image is an image error";
    }
}

fn lifecycle_checks() -> Vec<Check<RuntimeSubject>> {
    checks! { |subject| &ContractHarness::new(subject).await;
        lifecycle::missing_container_is_not_found []
            "a missing container is `not found`, but stopped and removed with success";
        lifecycle::create_keeps_name_labels_and_image []
            "a created container has what was requested, and does not run";
        lifecycle::image_is_given_by_id_or_reference []
            "a request names its image by id or reference";
        lifecycle::name_is_given_once [] "a container name is given once";
        lifecycle::removed_name_is_free_and_its_id_is_not []
            "the name of a removed container can be used again, unlike its id";
        lifecycle::unknown_image_is_an_image_error []
            "a container is not created from an image that is not on the engine";
        lifecycle::missing_capability_is_refused []
            "a request that needs a missing capability is refused, not applied in part";
        lifecycle::start_is_idempotent [] "a second start of a running container changes nothing";
        lifecycle::stop_ends_a_started_container []
            "stop returns once the container has stopped, and is idempotent";
        lifecycle::stopped_container_starts_again []
            "a stopped container can start again, with later times";
        lifecycle::remove_ends_any_state []
            "a container in any state is removed, and stays removed";
        lifecycle::list_shows_own_instance [] "a list shows the containers of one instance alone";
        lifecycle::list_shows_every_state []
            "a list shows containers in any state, as inspection does";
        lifecycle::list_shows_each_change_at_once []
            "a list shows a change once its method has returned";
        lifecycle::processes_are_those_of_a_running_container []
            "the processes of a running container are listed";
        lifecycle::signal_needs_a_running_container [] "a signal reaches running containers alone";
        lifecycle::signal_ends_a_container []
            "a container that a signal ends has the exit code 128 plus its number";
        endpoint::running_container_has_an_endpoint []
            "a running container has an endpoint, and no other container has one";
        endpoint::endpoints_differ [] "no two running containers have one endpoint";
        lifecycle::limits_are_reported [LIMITS]
            "the limits of a request are reported, also while the container runs";
        second::second_value_finds_the_containers [SecondValue]
            "a restarted orchestrator finds the containers with all that is known of them";
        second::second_value_ends_the_containers [SecondValue]
            "a restarted orchestrator stops and removes the containers";
    }
}

fn concurrency_checks() -> Vec<Check<RuntimeSubject>> {
    checks! { |subject| &ContractHarness::new(subject).await;
        concurrency::one_of_several_creates_gets_the_name []
            "of several creates with one name, one succeeds";
        concurrency::concurrent_calls_of_one_container_succeed []
            "starts, stops and removals of one container at once succeed";
        concurrency::dropped_create_is_whole_or_absent []
            "a create whose caller has gone away leaves a whole container, or none";
        concurrency::dropped_stop_can_be_repeated []
            "a stop whose caller has gone away can be repeated";
        concurrency::dropped_removal_can_be_repeated []
            "a removal whose caller has gone away can be repeated";
    }
}

/// Returns the checks of optional parts without a process.
fn part_checks() -> Vec<Check<RuntimeSubject>> {
    checks! { |subject| &ContractHarness::new(subject).await;
        watching::start_is_an_event [EVENTS] "the start of a container is followed by an event";
        watching::end_of_container_is_an_event [EVENTS]
            "the end of a container is followed by an event";
        watching::removal_is_an_event [EVENTS]
            "the removal of a container is followed by an event";
        watching::events_are_of_one_instance [EVENTS]
            "events of other instances are not streamed";
        watching::stats_grow [STATS] "readings of one container never fall";
        watching::stats_need_a_container [STATS] "the usage of a missing container is `not found`";
        commands::exec_needs_a_running_container [EXEC]
            "a command runs in running containers alone";
        files::put_needs_a_container [FILES] "files are put into existing containers alone";
        files::put_starts_nothing [FILES]
            "files are put into a container that does not run, and start nothing";
        files::files_are_read_back [FILES] "files are read back from a container that does not run";
        files::missing_directory_is_not_found [FILES] "a missing directory is `not found`";
        files::create_with_files_is_whole [FILES]
            "a container with files is created as a whole, or not at all";
        images::saved_image_can_be_loaded [IMAGES]
            "what is loaded from an archive is the image that was saved";
        images::broken_archive_is_an_error [IMAGES]
            "an archive that is malformed or breaks off is an error";
        logs::missing_container_has_no_logs [LOGS]
            "the logs of a missing container are `not found`";
        ports::port_of_the_host_has_one_owner [PORTS]
            "a container does not start with a port of the host that another one has";
        ports::ports_of_addresses_and_transports_are_apart [PORTS]
            "a port is apart for each address of the host, and for TCP and UDP";
    }
}

/// Returns the checks of a container's own process.
fn process_checks() -> Vec<Check<RuntimeSubject>> {
    checks! { |subject| &ContractHarness::new(subject).await;
        process::exit_code_is_kept [Commands] "the exit code of a process is kept";
        process::environment_arrives [Commands] "variables arrive as they are";
        process::secret_environment_arrives [Commands]
            "variables with secret values arrive as they are";
        process::arguments_follow_the_command [Commands]
            "arguments follow the command, as they are and without a shell";
        process::host_name_is_set [Commands, OPTIONS] "a container has its host name";
        process::process_runs_as_user [Commands, OPTIONS]
            "a process runs as the user of its request";
        process::chosen_port_is_passed_on [Commands]
            "a process gets the port of its endpoint where the runtime chooses it";
        process::unknown_command_fails_the_start [Commands]
            "a command that is not found fails the start";
        process::failed_container_is_listed_and_removed [Commands]
            "a container whose start has failed is listed, and can be removed";
        process::lack_of_memory_is_reported [Commands, LIMITS]
            "a process that exceeds its memory limit is killed, and this is reported";
        stopping::stop_keeps_the_grace_period [Commands]
            "a process that ends within the grace period is not killed";
        stopping::stop_kills_after_the_grace_period [Commands]
            "a process that ignores the signal is killed after the grace period";
        stopping::stop_sends_the_given_signal [Commands] "a stop sends the given signal";
        stopping::stop_sends_the_signal_of_the_request [Commands]
            "a stop without a signal sends that of the request";
        stopping::signal_reaches_the_process [Commands]
            "a signal reaches the process, which may go on";
        volumes::volume_outlives_its_containers [Volume]
            "what is written to a volume is there for the next container";
        volumes::read_only_volume_is_not_written [Volume]
            "a volume that is mounted for reading is not written";
        endpoint::listener_is_reachable [WebServer]
            "a listener in a container is reachable at the container's endpoint";
        ports::published_port_leads_to_the_listener [WebServer, PORTS]
            "a published port of one address of the host leads to the listener in the container";
    }
}

fn exec_checks() -> Vec<Check<RuntimeSubject>> {
    checks! { |subject| &ContractHarness::new(subject).await;
        commands::output_and_exit_code_arrive [Commands, EXEC]
            "a command's output and exit code arrive as they are";
        commands::unknown_command_has_its_exit_code [Commands, EXEC]
            "a command that is not found exits with 126 or 127";
        commands::no_shell_reads_a_command [Commands, EXEC]
            "a command's arguments arrive as they are";
        commands::long_output_is_whole [Commands, EXEC] "long output arrives whole";
        commands::commands_at_once_are_apart [Commands, EXEC]
            "commands that run at once get their own output";
        commands::dropped_session_leaves_the_container [Commands, EXEC]
            "a container goes on when the client of a command goes away";
        commands::command_runs_as_user [Commands, EXEC, OPTIONS]
            "a command runs as the user of its request";
        commands::terminal_has_requested_size [Commands, EXEC, TTY]
            "a terminal has the size of its request";
        commands::input_arrives_and_ends [Commands, EXEC]
            "input arrives, and ends where it is closed";
        commands::attached_client_loses_no_output [Commands, EXEC]
            "a client that attaches before the start gets all output, and the exit code";
        commands::attached_client_sees_a_kill [Commands, EXEC]
            "an attached client gets the exit code of a process that was killed";
    }
}

fn file_checks() -> Vec<Check<RuntimeSubject>> {
    checks! { |subject| &ContractHarness::new(subject).await;
        files::files_exist_at_the_start [Commands, FILES]
            "files of a request exist when the process starts";
        files::files_have_their_modes [Commands, FILES] "files of a request have their modes";
        files::put_files_are_readable [Commands, FILES]
            "files that are put into a container are read by its processes";
        files::put_files_replace_others [Commands, EXEC, FILES]
            "a file that is put again has its new content, and others stay";
        files::put_links_are_followed [Commands, EXEC, FILES]
            "links are put, replaced and followed";
        files::put_files_have_their_modes [Commands, EXEC, FILES]
            "files that are put have the modes of their kind";
    }
}

fn output_checks() -> Vec<Check<RuntimeSubject>> {
    checks! { |subject| &ContractHarness::new(subject).await;
        watching::usage_is_measured [Commands, STATS] "a busy process shows in the readings";
        logs::lines_keep_their_order [Commands, LOGS]
            "output is read line by line, oldest first, with rising times";
        logs::streams_are_kept_apart [Commands, LOGS] "lines of standard error are marked";
        logs::long_line_is_one_line [Commands, LOGS] "a line of 20,000 characters is one line";
        logs::tail_is_the_last_lines [Commands, LOGS] "a tail is the last lines";
        logs::since_leaves_out_older_lines [Commands, LOGS]
            "lines written at a time or later are selected";
        logs::logs_outlive_the_process [Commands, LOGS] "the output of a stopped container stays";
        logs::following_shows_new_lines [Commands, LOGS]
            "following shows lines as they are written";
        logs::following_ends_with_the_container [Commands, LOGS]
            "following ends when the container stops, after its last line";
    }
}
