//! The migrations are embedded at compile time; a changed one must lead to a new build.

fn main() {
    println!("cargo:rerun-if-changed=../migrations/accounting");
    println!("cargo:rerun-if-changed=../migrations/wallet");
}
