//! What merchants do all day: apps that sign their requests, and payments at a steady rate.

mod app;
mod payments;
mod platform;
mod visibility;

pub use app::{App, Stamp};
pub use payments::{Paid, Payments};
pub use platform::Platform;
pub use visibility::{Latencies, Visibility};
