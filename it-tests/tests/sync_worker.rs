//! sync-worker and `replay diff` against real Kafka, MariaDB and Elasticsearch, fed by hand.

mod barriers;
mod commands;
mod gate;
mod kills;
mod progress;
mod quarantine;
mod router;
mod world;
