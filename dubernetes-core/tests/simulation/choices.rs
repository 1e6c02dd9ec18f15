//! What happens next in a simulation: at random, or each possibility in turn.

/// Makes choices.
#[derive(Debug, Clone)]
pub(crate) enum Choices {
    /// Random bytes, then zeros once they are used up.
    Random(std::vec::IntoIter<u8>),
    /// One path of all, see [`Path`].
    Path(Path),
}

/// How a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallFault {
    None,
    /// The call fails without effect.
    Error,
    /// The orchestrator crashes before the rest of the plan.
    Crash,
    /// The call takes effect, and its answer is lost.
    LostAnswer,
}

/// What happens to a replica.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    Exit,
    Vanish,
    Unhealthy,
    NotReady,
    Pause,
}

impl Fault {
    pub(crate) const ALL: [Self; 5] =
        [Self::Exit, Self::Vanish, Self::Unhealthy, Self::NotReady, Self::Pause];
}

impl Choices {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self::Random(bytes.into_iter())
    }

    /// Chooses among equals.
    pub(crate) fn below(&mut self, n: u8) -> u8 {
        match self {
            Self::Random(bytes) => bytes.next().unwrap_or(0) % n,
            Self::Path(_) => 0,
        }
    }

    /// Returns whether something unusual happens.
    pub(crate) fn one_in(&mut self, n: u8) -> bool {
        match self {
            Self::Random(_) => self.below(n) == n - 1,
            Self::Path(path) => path.fault(1) == 1,
        }
    }

    /// Returns whether what is in progress gets ahead.
    pub(crate) fn goes_on(&mut self) -> bool {
        match self {
            Self::Random(_) => self.one_in(2),
            Self::Path(path) => path.fault(1) == 0,
        }
    }

    pub(crate) fn call(&mut self) -> CallFault {
        let fault = match self {
            Self::Random(_) => self.below(8).saturating_sub(4),
            Self::Path(path) => u8::try_from(path.fault(3)).unwrap_or(0),
        };
        [CallFault::None, CallFault::Error, CallFault::Crash, CallFault::LostAnswer]
            [usize::from(fault)]
    }

    /// Returns how many seconds pass.
    pub(crate) fn seconds(&mut self) -> i64 {
        match self {
            Self::Random(_) => i64::from(self.below(20)),
            Self::Path(_) => 10,
        }
    }
}

/// A path through a tree of choices. Each choice is no fault (0) or one of several faults, and a
/// path has a limited number of faults. [`Path::next`] walks through all paths.
#[derive(Debug, Clone)]
pub(crate) struct Path {
    /// The choices so far: what was chosen, and the number of faults to choose from.
    taken: Vec<(usize, usize)>,
    position: usize,
    /// Faults that the path may still have.
    pub(crate) left: u8,
    limit: u8,
}

impl Path {
    /// Creates the path without a fault.
    pub(crate) fn new(limit: u8) -> Self {
        Self { taken: Vec::new(), position: 0, left: limit, limit }
    }

    /// Returns the path after this one, which was walked to its end.
    pub(crate) fn next(mut self) -> Option<Self> {
        while let Some((chosen, faults)) = self.taken.pop() {
            if chosen < faults {
                self.taken.push((chosen + 1, faults));
                return Some(Self { position: 0, left: self.limit, ..self });
            }
        }
        None
    }

    /// Chooses one of `faults` faults, or 0 for none.
    pub(crate) fn fault(&mut self, faults: usize) -> usize {
        if self.left == 0 {
            return 0;
        }
        if self.position == self.taken.len() {
            self.taken.push((0, faults));
        }
        let (chosen, _) = self.taken[self.position];
        self.position += 1;
        self.left -= u8::from(chosen > 0);
        chosen
    }
}
