//! A thread that owns a connection and runs jobs on it, one at a time.

use std::io;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use dubernetes_core::error::SharedError;
use dubernetes_core::store::StoreError;
use rusqlite::Connection;
use tokio::sync::{oneshot, watch};

use crate::error::TransactionError;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A connection on a thread of its own. Dropping it finishes the queued jobs and closes it.
#[derive(Debug)]
pub(crate) struct Worker {
    /// `None` during drop.
    jobs: Option<mpsc::Sender<Job>>,
    /// `None` once the thread is joined.
    thread: Option<JoinHandle<()>>,
    /// Closed when the thread ends.
    alive: watch::Receiver<()>,
}

impl Worker {
    /// Starts the thread.
    pub(crate) fn start(name: &str, mut connection: Connection) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (alive_until_drop, alive) = watch::channel(());
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            // Dropped even if a job panics.
            let _alive = alive_until_drop;
            for job in queue {
                job(&mut connection);
            }
        })?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), alive })
    }

    /// Resolves once the thread has ended. Later jobs fail.
    pub(crate) async fn ended(&self) {
        let mut alive = self.alive.clone();
        while alive.changed().await.is_ok() {}
    }

    /// Runs `work` on the thread.
    ///
    /// Not cancelled by dropping the future: once queued, the job runs.
    pub(crate) async fn run<T, E, F>(&self, work: F) -> Result<Result<T, E>, StoreError>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, E> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            // The receiver is gone if the caller was cancelled.
            let _ = sender.send(work(connection));
        });
        let ended = || StoreError::Failed(SharedError::text("the thread of the store has ended"));
        let jobs = self.jobs.as_ref().ok_or_else(ended)?;
        jobs.send(job).map_err(|_| ended())?;
        receiver.await.map_err(|_| ended())
    }

    /// Runs a transaction on the thread, as [`Worker::run`] does, and classifies its error.
    pub(crate) async fn transact<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, TransactionError> + Send + 'static,
    {
        Ok(self.run(work).await??)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // The connection is closed once the thread has ended, even after a panic.
            let _ = thread.join();
        }
    }
}
