//! The programs that are measured, and how each is started.

mod databus;
mod debezium;
mod go_mysql;
mod maxwell;
mod trial;

use it_tests::harness::paths::Peer;
pub(super) use trial::Trial;

/// One program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// Ours.
    Databus,
    /// Another.
    Peer(Peer),
}

impl Subject {
    /// Name in tables.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Databus => "databus",
            Self::Peer(peer) => peer.name(),
        }
    }

    /// The topic that it writes to.
    pub(super) fn topic(self) -> &'static str {
        match self {
            Self::Databus => "changes.bench",
            Self::Peer(Peer::Debezium) => "debezium.bench.bill",
            Self::Peer(Peer::Maxwell) => "maxwell",
            Self::Peer(Peer::GoMysql) => "go-mysql",
        }
    }

    /// Name, version and what it promises.
    pub(super) fn described(self) -> String {
        match self {
            Self::Databus => "databus, this commit: exactly once".to_owned(),
            Self::Peer(peer) => {
                let how = match peer {
                    Peer::Debezium => {
                        "in Kafka Connect standalone, JsonConverter without schemas, heap 1 GiB"
                    }
                    Peer::Maxwell => "with kafka-clients 3.9.1, heap 1 GiB",
                    Peer::GoMysql => {
                        "canal, encoding/json and franz-go: a program of 90 lines that stores no position"
                    }
                };
                format!("{} {}, {how}: at least once", peer.name(), peer.version())
            }
        }
    }
}
