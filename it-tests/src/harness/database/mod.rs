//! Private database servers: MariaDB 10.11 of the system, MariaDB 11.8 and MySQL 9.7 from `.cache/`.
//!
//! [`DatabaseServer`] is one running server of a [`Flavour`]; what differs between the two makes is in [`mariadb`]
//! and [`mysql`] alone.

mod flavour;
mod mariadb;
mod mysql;
mod options;
mod replica;
mod server;
mod shell;
mod tls;

pub use flavour::Flavour;
pub use options::ServerOptions;
pub use server::{DatabaseServer, greeting};
pub use tls::TlsFiles;
