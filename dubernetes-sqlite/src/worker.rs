//! A thread that owns a connection and does one thing after the other with it.

use std::io;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use dubernetes_core::error::Cause;
use dubernetes_core::store::StoreError;
use rusqlite::Connection;
use tokio::sync::{oneshot, watch};

use crate::error::Failure;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A connection on a thread of its own. Dropped, it finishes what was asked for, and closes.
#[derive(Debug)]
pub(crate) struct Worker {
    /// `None` while it is dropped.
    jobs: Option<mpsc::Sender<Job>>,
    /// `None` once it is joined.
    thread: Option<JoinHandle<()>>,
    /// Its other end goes with the thread.
    alive: watch::Receiver<()>,
}

impl Worker {
    /// Starts the thread.
    pub(crate) fn start(name: &str, mut connection: Connection) -> io::Result<Self> {
        let (jobs, waiting) = mpsc::channel::<Job>();
        let (life, alive) = watch::channel(());
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            // Dropped even if a job panics.
            let _life = life;
            for job in waiting {
                job(&mut connection);
            }
        })?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), alive })
    }

    /// Returns once the thread has ended: then nothing is done any more.
    pub(crate) async fn ended(&self) {
        let mut alive = self.alive.clone();
        while alive.changed().await.is_ok() {}
    }

    /// Does `work` on the thread. Once asked for, it is done, whether or not the answer is
    /// waited for.
    pub(crate) async fn run<T, E, F>(&self, work: F) -> Result<Result<T, E>, StoreError>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, E> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            // Nobody waits for the answer if the caller was cancelled.
            let _ = answer.send(work(connection));
        });
        let ended = || StoreError::Failed(Cause::text("the thread of the store has ended"));
        let jobs = self.jobs.as_ref().ok_or_else(ended)?;
        jobs.send(job).map_err(|_| ended())?;
        answered.await.map_err(|_| ended())
    }

    /// As [`Worker::run`], with the errors of a transaction.
    pub(crate) async fn transact<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, Failure> + Send + 'static,
    {
        Ok(self.run(work).await??)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // The connection is closed when the thread has ended, even by a panic.
            let _ = thread.join();
        }
    }
}
