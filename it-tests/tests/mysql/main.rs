//! Integration tests against a real MySQL: `cargo xtask test --mysql`. They fail where there is none.

mod real_mysql;
#[path = "../servers/scenes.rs"]
mod scenes;
mod servers;
mod sources;
