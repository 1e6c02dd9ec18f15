//! Commands in nginx's container.

use std::time::Duration;

use dubernetes_core::runtime::{
    ContainerId, ContainerState, ExecResult, RuntimeError, run_command,
};
use tokio::time::sleep;

use crate::proxy::Nginx;

/// Time limit of a command.
const LIMIT: Duration = Duration::from_secs(30);
/// How often it is checked whether the container of a command is paused.
const PAUSED_CHECK: Duration = Duration::from_secs(1);

impl Nginx {
    /// Runs a command in the container to its end, as the container's user or as the given one.
    ///
    /// # Errors
    ///
    /// Those of [`run_command`]; [`RuntimeError::Timeout`] after [`LIMIT`]; and
    /// [`RuntimeError::NotRunning`] soon after the container is paused, where the command would not
    /// end.
    pub(crate) async fn run_command<T: AsRef<str>>(
        &self,
        id: &ContainerId,
        command: &[T],
        user: Option<u32>,
    ) -> Result<ExecResult, RuntimeError> {
        let command: Vec<_> = command.iter().map(AsRef::as_ref).collect();
        let operation = || format!("run `{}`", command.join(" "));
        tokio::select! {
            result = run_command(&*self.runtime, id, &command, user) => result,
            () = self.paused(id) => Err(RuntimeError::NotRunning {
                operation: operation(),
                message: "its container is paused".to_owned(),
            }),
            () = sleep(LIMIT) => Err(RuntimeError::Timeout { operation: operation() }),
        }
    }

    /// Resolves if the container is paused.
    async fn paused(&self, id: &ContainerId) {
        loop {
            sleep(PAUSED_CHECK).await;
            let found = self.runtime.inspect(id).await;
            if found.is_ok_and(|container| container.state == ContainerState::Paused) {
                return;
            }
        }
    }
}
