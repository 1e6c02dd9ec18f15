//! The end-to-end tests, one module per subject. They are one program: thirty would each link the
//! whole workspace.

mod app_lifecycle;
mod busy_engine;
mod container_options;
mod continue_after_kill;
mod delete;
mod doctor;
mod documents;
mod env_and_files;
mod first_apply;
mod health;
mod hung_engine;
mod images;
mod import;
mod ingress;
mod ingress_contract;
mod load;
mod logs_exec;
mod manifest_errors;
mod names;
mod orchestrator;
mod ownership;
mod pod_commands;
mod pre_deploy;
mod restart;
mod rollback;
mod rollout;
mod routes;
mod run;
mod secrets;
mod self_heal;
mod simulate;
mod stack;
mod step_and_replay;
mod terminal;
mod why;
