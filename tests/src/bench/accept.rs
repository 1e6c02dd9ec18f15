//! An apply that is accepted and durable, and a bare commit on the same disk.

use std::path::Path;
use std::time::{Duration, Instant};

use dubernetes_api::Client;
use dubernetes_core::app::{AppName, AppSpec, ImageRef};
use rusqlite::Connection;

use super::report::{Row, Samples, Target, Unit};
use super::{Bench, Measured};
use crate::manifest::WHOAMI;
use crate::slots;

/// Applies per run.
const APPLIES: u32 = 50;
/// Time for the pass that an apply causes.
const PAUSE: Duration = Duration::from_millis(20);

pub(super) async fn measure(bench: &Bench) -> Measured {
    let state = bench.scenario.state_dir();
    let client = Client::unix(state.join("dubernetes.sock")).unwrap();
    let database = open(&state.with_file_name("bare.db"));
    let name = AppName::parse("none").unwrap();
    let mut spec = AppSpec::new(name, ImageRef::parse(WHOAMI).unwrap());
    spec.replicas = 0;
    let meaning = "`PUT /v1/apps/none` over the Unix socket until the answer, for a changed app \
                   without replicas. The baseline is the commit of one row with the same JSON, in \
                   a file in the same folder, with `synchronous=FULL` and a write-ahead log.";
    let mut row = Row::new("apply, accepted", meaning, Unit::Seconds)
        .baseline("SQLite commit")
        .target(Target::AtMostRatio { ratio: 1.2, plus: 0.001 });
    for run in 0..bench.runs {
        let _alone = slots::take_all().await;
        let (mut applies, mut commits) = (Samples::default(), Samples::default());
        for number in 0..APPLIES {
            spec.labels.insert("run".to_owned(), format!("{run}-{number}"));
            let start = Instant::now();
            client.apply(&spec, None).await.unwrap();
            let apply = start.elapsed();
            tokio::time::sleep(PAUSE).await;
            let text = serde_json::to_string(&spec).unwrap();
            let start = Instant::now();
            database.execute("INSERT INTO bare (text) VALUES (?1)", [text]).unwrap();
            commits.push(start.elapsed().as_secs_f64());
            applies.push(apply.as_secs_f64());
        }
        row.push(applies.median(), &[commits.median()]);
    }
    let notes = vec![format!("The value of a run is the median of {APPLIES}.")];
    Measured { rows: vec![row], notes, ..Measured::default() }
}

fn open(path: &Path) -> Connection {
    let database = Connection::open(path).unwrap();
    database.pragma_update(None, "journal_mode", "WAL").unwrap();
    database.pragma_update(None, "synchronous", "FULL").unwrap();
    database.execute("CREATE TABLE bare (text TEXT)", []).unwrap();
    database
}
