//! What a source is doing right now, for `/readyz`, the metrics and whoever else asks.

use crate::metrics::Metrics;
use prometheus::IntGauge;
use std::{
    fmt::Display,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

/// An interruption shorter than this is no reason to call the stream not ready.
const PATIENCE: Duration = Duration::from_secs(5);

/// The states, as the metric and `/readyz` name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Preflight, Kafka, or the group's first word is still to come.
    Starting,
    /// Another process reads the source; this one could take over.
    Standby,
    /// This process reads it.
    Active,
    /// This process had it, and the source or Kafka is away.
    Interrupted,
    /// The source does not answer this process, which has left the role to others until it does.
    CutOff,
    /// A definite error: this process does nothing for the source any more.
    Failed,
}

const STATES: [State; 6] =
    [State::Starting, State::Standby, State::Active, State::Interrupted, State::CutOff, State::Failed];

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Standby => "standby",
            Self::Active => "active",
            Self::Interrupted => "interrupted",
            Self::CutOff => "cut_off",
            Self::Failed => "failed",
        }
    }
}

/// One source's state; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Status {
    current: Arc<Mutex<Current>>,
    role: IntGauge,
    gauges: [IntGauge; STATES.len()],
}

/// A source's state for people.
#[derive(Debug, Clone)]
pub(crate) struct StatusView {
    /// As the metric names it.
    pub(crate) state: &'static str,
    /// What `/readyz` makes of it.
    pub(crate) ready: bool,
    /// What it waits for, or what went wrong.
    pub(crate) why: String,
    /// How long it has been so.
    pub(crate) since: Duration,
    /// The last thing that went wrong, and when.
    pub(crate) error: Option<(String, SystemTime)>,
}

#[derive(Debug)]
struct Current {
    state: State,
    why: String,
    since: Instant,
    /// The last thing that went wrong, and when.
    error: Option<(String, SystemTime)>,
    /// When the stream last went round; it does several times a second unless Kafka or the source holds it.
    beat: Instant,
}

impl Status {
    /// A source that is about to start.
    pub(crate) fn new(metrics: &Metrics, source: &str) -> Self {
        let (role, gauges) = metrics.state_of(source, STATES.map(State::name));
        let now = Instant::now();
        let why = "preflight".to_owned();
        let current = Current { state: State::Starting, why, since: now, error: None, beat: now };
        let status = Self { current: Arc::new(Mutex::new(current)), role, gauges };
        status.show(State::Starting);
        status
    }

    /// Moves to a state; `why` is what it waits for or what went wrong.
    pub(crate) fn set(&self, state: State, why: impl Display) {
        let mut current = self.lock();
        if current.state != state {
            current.since = Instant::now();
        }
        current.state = state;
        current.why = why.to_string();
        if matches!(state, State::Interrupted | State::CutOff | State::Failed) {
            current.error = Some((current.why.clone(), SystemTime::now()));
        }
        current.beat = Instant::now();
        self.show(state);
    }

    /// Whether this process reads the source.
    pub(crate) fn is_active(&self) -> bool {
        matches!(self.lock().state, State::Active | State::Interrupted)
    }

    /// What the status page shows.
    pub(crate) fn view(&self) -> StatusView {
        let ready = self.ready();
        let current = self.lock();
        StatusView {
            state: current.state.name(),
            ready: ready.is_ok(),
            why: current.why.clone(),
            since: current.since.elapsed(),
            error: current.error.clone(),
        }
    }

    /// The stream goes round.
    pub(crate) fn beat(&self) {
        self.lock().beat = Instant::now();
    }

    /// What `/readyz` says: the state, or why the source is not being followed.
    pub(crate) fn ready(&self) -> Result<String, String> {
        let current = self.lock();
        let (name, why) = (current.state.name(), &current.why);
        match current.state {
            State::Active if current.beat.elapsed() >= PATIENCE => {
                Err(format!("{name}, but kafka has taken nothing for {} s", current.beat.elapsed().as_secs()))
            }
            State::Standby | State::Active => Ok(name.to_owned()),
            State::Interrupted if current.since.elapsed() < PATIENCE => Ok(name.to_owned()),
            State::Interrupted => Err(format!("{name} for {} s: {why}", current.since.elapsed().as_secs())),
            State::Starting | State::CutOff | State::Failed => Err(format!("{name}: {why}")),
        }
    }

    fn show(&self, state: State) {
        self.role.set(i64::from(matches!(state, State::Active | State::Interrupted)));
        for (of, gauge) in STATES.iter().zip(&self.gauges) {
            gauge.set(i64::from(*of == state));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_interruption_is_not_told_and_a_long_one_says_why() {
        let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
        let status = Status::new(&metrics, "a");
        assert!(status.ready().unwrap_err().starts_with("starting"));
        status.set(State::Active, "");
        assert_eq!((status.ready(), status.role.get()), (Ok("active".to_owned()), 1));
        status.set(State::Interrupted, "connection refused");
        assert!(status.ready().is_ok());
        status.lock().since -= PATIENCE;
        let why = status.ready().unwrap_err();
        assert!(why.contains("for 5 s") && why.contains("connection refused"), "{why}");
        status.set(State::Interrupted, "connection reset");
        assert!(status.ready().is_err(), "a second attempt does not make it young again");
        status.set(State::Standby, "");
        assert_eq!((status.ready(), status.role.get()), (Ok("standby".to_owned()), 0));
        status.set(State::Failed, "no such table");
        assert!(status.ready().unwrap_err().contains("no such table"));
        assert_eq!(status.gauges.iter().map(IntGauge::get).collect::<Vec<_>>(), [0, 0, 0, 0, 0, 1]);
    }
}
