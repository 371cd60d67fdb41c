//! One token that asks every part of a daemon to stop in order. SIGTERM and SIGINT request it.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The request to stop. Clones share one state; requesting it twice is the same as once.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    token: CancellationToken,
}

impl Shutdown {
    /// A shutdown that only [`Shutdown::request`] triggers, for tests and for parts with a life of their own.
    pub fn manual() -> Shutdown {
        Shutdown::default()
    }

    /// A shutdown that SIGTERM and SIGINT trigger. A second signal ends the process at once, with code 1:
    /// progress follows durability, so even that loses nothing.
    pub fn on_signals() -> io::Result<Shutdown> {
        let shutdown = Shutdown::manual();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let requested = shutdown.clone();
        tokio::spawn(async move {
            loop {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                };
                if requested.is_requested() {
                    tracing::warn!(signal = name, "second signal: leaving without draining");
                    std::process::exit(1);
                }
                tracing::info!(signal = name, "stopping: draining what is under way");
                requested.request();
            }
        });
        Ok(shutdown)
    }

    /// Asks everyone to stop.
    pub fn request(&self) {
        self.token.cancel();
    }

    pub fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Returns once a stop is asked for; at once if it already was.
    pub async fn requested(&self) {
        self.token.cancelled().await;
    }

    /// The token itself, for libraries that want one.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// A shutdown that this one triggers, but that can be requested without triggering this one.
    pub fn child(&self) -> Shutdown {
        Shutdown { token: self.token.child_token() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_child_follows_its_parent_and_not_the_reverse() {
        let parent = Shutdown::manual();
        let child = parent.child();
        child.request();
        assert!(child.is_requested() && !parent.is_requested());
        let other = parent.child();
        parent.request();
        other.requested().await;
    }
}
