//! The changing calls on the fakes of one orchestrator, some of which go wrong.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// How a changing call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EffectFault {
    /// Returns an error without an effect.
    Error,
    /// Takes effect, then returns an error.
    LostAnswer,
    /// The orchestrator crashes before the effect.
    CrashBefore,
    /// The orchestrator crashes after the effect, without its answer.
    CrashAfter,
}

impl EffectFault {
    /// Every fault.
    pub const ALL: [Self; 4] = [Self::Error, Self::LostAnswer, Self::CrashBefore, Self::CrashAfter];
}

/// Counts the changing calls on fakes that share it, and makes some of them go wrong. Clones share
/// the count.
///
/// A call counts once it reaches the fake, whether or not it changes anything there. Calls that
/// only look, and upkeep that finds nothing to do, do not count.
///
/// After a crash no call on the fakes returns, until [`Effects::revive`]: what the crashed
/// orchestrator still tries has no effect.
#[derive(Clone, Default)]
pub struct Effects(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    crashed: watch::Sender<bool>,
}

type Strikes = dyn Fn(usize) -> bool + Send + Sync;
type Check = dyn Fn(&str) + Send + Sync;

#[derive(Default)]
struct State {
    calls: Vec<String>,
    fault: Option<(EffectFault, Arc<Strikes>)>,
    check: Option<Arc<Check>>,
}

impl fmt::Debug for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Effects").field(&self.calls()).finish()
    }
}

impl Effects {
    /// Makes the calls go wrong whose number, counted from 1, `strikes` accepts. Ends an earlier
    /// fault.
    pub fn inject(
        &self,
        fault: EffectFault,
        strikes: impl Fn(usize) -> bool + Send + Sync + 'static,
    ) {
        self.state().fault = Some((fault, Arc::new(strikes)));
    }

    /// Calls `check` after each effect, with the name of the call.
    pub fn check(&self, check: impl Fn(&str) + Send + Sync + 'static) {
        self.state().check = Some(Arc::new(check));
    }

    /// Returns the names of the calls so far, such as `Create dubernetes.default.web-1.r1`.
    pub fn calls(&self) -> Vec<String> {
        self.state().calls.clone()
    }

    /// Waits for the crash.
    pub async fn crashed(&self) {
        let mut crashed = self.0.crashed.subscribe();
        // The sender is in `self`.
        let _ = crashed.wait_for(|crashed| *crashed).await;
    }

    /// Lets the fakes answer again, for the next orchestrator.
    pub fn revive(&self) {
        self.0.crashed.send_replace(false);
    }

    /// Returns unless the orchestrator has crashed.
    pub(super) async fn alive(&self) {
        if *self.0.crashed.borrow() {
            std::future::pending::<()>().await;
        }
    }

    /// Makes one changing call. `None`: its answer is an error.
    pub(super) async fn run<R>(&self, call: String, effect: impl FnOnce() -> R) -> Option<R> {
        self.alive().await;
        let fault = {
            let mut state = self.state();
            state.calls.push(call.clone());
            let n = state.calls.len();
            let fault = state.fault.as_ref().filter(|(_, strikes)| strikes(n));
            fault.map(|(fault, _)| *fault)
        };
        match fault {
            Some(EffectFault::Error) => return None,
            Some(EffectFault::CrashBefore) => return self.crash().await,
            None | Some(EffectFault::LostAnswer | EffectFault::CrashAfter) => {}
        }
        let answer = effect();
        let check = self.state().check.clone();
        if let Some(check) = check {
            check(&call);
        }
        match fault {
            Some(EffectFault::LostAnswer) => None,
            Some(EffectFault::CrashAfter) => self.crash().await,
            None | Some(EffectFault::Error | EffectFault::CrashBefore) => Some(answer),
        }
    }

    async fn crash<R>(&self) -> R {
        self.0.crashed.send_replace(true);
        std::future::pending().await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one step.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
