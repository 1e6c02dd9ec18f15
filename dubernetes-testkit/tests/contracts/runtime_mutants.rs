//! Runtimes that break one promise each: those without commands around the fake engine, the others
//! around processes of this host.

#[path = "runtime_mutant.rs"]
mod runtime_mutant;

use std::path::Path;
use std::sync::Arc;

use dubernetes_core::runtime::ContainerRuntime;
use dubernetes_testkit::contract::container_runtime::RuntimeSubject;
use dubernetes_testkit::contract::run_all;
use futures_util::future::join_all;

use super::mutants::assert_caught;
use super::{LocalRuntime, failures, fake_runtime};
use runtime_mutant::{Defect, Mutant};

const ON_THE_FAKE: &[Defect] = &[
    Defect::TakenNameSucceeds,
    Defect::TakenNameReplaces,
    Defect::NameStaysTaken,
    Defect::DroppedCreateIsHalf,
    Defect::MissingCapabilityIsAccepted,
    Defect::CapabilityWithoutPart,
    Defect::LabelsDropped,
    Defect::RemoveLeavesContainer,
    Defect::RemoveOfMissingFails,
    Defect::StopReturnsEarly,
    Defect::StopOfMissingFails,
    Defect::StartOfRunningFails,
    Defect::StartTimeStays,
    Defect::ListOmitsStopped,
    Defect::ListLags,
    Defect::ListShowsOthers,
    Defect::EndpointStays,
    Defect::LimitsForgotten,
    Defect::ImageIdIsName,
    Defect::ImageIdChanges,
    Defect::MissingImageIsFound,
    Defect::SignalToStoppedSucceeds,
    Defect::KilledExitsWithNine,
    Defect::EventsNever,
    Defect::EventsOfOthers,
    Defect::EventsEnd,
    Defect::NetworkShared,
    Defect::NetworkChanges,
    Defect::ClaimAlwaysSucceeds,
    Defect::PortsShared,
    Defect::StatsFall,
    Defect::LogsOfMissingAreEmpty,
    Defect::FilesDropped,
    Defect::PutFilesDropped,
    Defect::MissingDirectoryIsEmpty,
    Defect::ExecStartsStopped,
    Defect::SecondValueIsBlind,
    Defect::ListHangs,
];

/// Each with the check that catches it: a process takes its time.
const ON_PROCESSES: &[(Defect, &str)] = &[
    (Defect::EnvironmentDropped, "environment_arrives"),
    (Defect::EnvironmentTrimmed, "environment_arrives"),
    (Defect::SecretEnvironmentDropped, "secret_environment_arrives"),
    (Defect::ArgumentsDropped, "arguments_follow_the_command"),
    (Defect::ArgumentsSplit, "arguments_follow_the_command"),
    (Defect::ExitCodeIsZero, "exit_code_is_kept"),
    (Defect::GraceIgnored, "stop_keeps_the_grace_period"),
    (Defect::GraceNeverEnds, "stop_kills_after_the_grace_period"),
    (Defect::StopSendsTerm, "stop_sends_the_given_signal"),
    (Defect::StopSignalDropped, "stop_sends_the_signal_of_the_request"),
    (Defect::SignalDropped, "signal_reaches_the_process"),
    (Defect::FilesDropped, "files_exist_at_the_start"),
    (Defect::FileModesIgnored, "files_have_their_modes"),
    (Defect::PutFilesDropped, "put_files_are_readable"),
    (Defect::PutModesIgnored, "put_files_have_their_modes"),
    (Defect::LinksDropped, "put_links_are_followed"),
    (Defect::TailIgnored, "tail_is_the_last_lines"),
    (Defect::SinceIgnored, "since_leaves_out_older_lines"),
    (Defect::SinceExcludesItsTime, "since_leaves_out_older_lines"),
    (Defect::LogsReversed, "lines_keep_their_order"),
    (Defect::StandardErrorUnmarked, "streams_are_kept_apart"),
    (Defect::LongLinesSplit, "long_line_is_one_line"),
    (Defect::FollowEndsEarly, "following_shows_new_lines"),
    (Defect::FollowNeverEnds, "following_ends_with_the_container"),
    (Defect::LogsEndWithTheProcess, "logs_outlive_the_process"),
    (Defect::ExecExitCodeIsZero, "output_and_exit_code_arrive"),
    (Defect::ExecOutputCut, "long_output_is_whole"),
    (Defect::ExecByShell, "no_shell_reads_a_command"),
    (Defect::ExecInputDropped, "input_arrives_and_ends"),
    (Defect::ExecStreamsJoined, "output_and_exit_code_arrive"),
    (Defect::AttachLosesOutput, "attached_client_loses_no_output"),
];

fn mutant(subject: RuntimeSubject, defect: Defect) -> RuntimeSubject {
    let mutant = |inner, is_second| -> Arc<dyn ContainerRuntime> {
        Arc::new(Mutant::new(inner, defect, is_second))
    };
    let runtime = mutant(Arc::clone(&subject.runtime), false);
    let second = subject.second.map(|second| mutant(second, true));
    RuntimeSubject { runtime, second, ..subject }
}

#[tokio::test(start_paused = true)]
async fn runtime_mutants_without_commands_are_caught() {
    run_all(&[fake_runtime().1], "").await.assert_passed();
    let mut mutants = Vec::new();
    for defect in ON_THE_FAKE {
        let subject = mutant(fake_runtime().1, *defect);
        mutants.push((defect, failures(&run_all(&[subject], "").await)));
    }
    assert_caught(&mutants);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn runtime_mutants_with_commands_are_caught() {
    let folder = tempfile::tempdir().unwrap();
    let sound = LocalRuntime::subject(folder.path(), ON_PROCESSES.len());
    run_all(&[sound], "").await.assert_passed();
    let run = async |(lane, (defect, check)): (usize, &(Defect, &str))| {
        let subject = mutant(LocalRuntime::subject(Path::new(folder.path()), lane), *defect);
        (*defect, failures(&run_all(&[subject], check).await))
    };
    let mutants = join_all(ON_PROCESSES.iter().enumerate().map(run)).await;
    assert_caught(&mutants);
}
