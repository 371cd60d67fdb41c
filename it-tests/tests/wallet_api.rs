//! wallet-api as a process against a real MariaDB and Redis: signed HTTP in, ledger rows out.

mod access;
mod books;
mod contention;
mod edge;
mod money;
mod outages;
mod world;
