//! A short round of what `cargo xtask chaos databus` does for as long as one likes.

use crate::shared::stack;
use anyhow::{Result, ensure};
use it_tests::chaos::{self, Goal, Options};

#[test]
fn kill_nine_at_random_under_a_mixed_load_with_ddl_loses_doubles_and_reorders_nothing_g1_g2_g4_g6()
-> Result<()> {
    let options = Options { rows: 1_500, big: 4_000, ..Options::new(20_261_123, Goal::Kills(12)) };
    let standing = chaos::run(stack()?, &options, &mut |_| {})?;
    println!("{standing:?}");
    ensure!(
        standing.kills == 12 && standing.transactions > 100 && standing.ddl > 3,
        "too little happened: {standing:?}"
    );
    Ok(())
}
