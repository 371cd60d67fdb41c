//! Random values as SQL, edges more often than their share.

use crate::rng::Rng;

/// Makes a value.
pub type Literal = Box<dyn Fn(&mut Rng) -> String>;

pub fn integer(bits: u32, unsigned: bool) -> Literal {
    Box::new(move |rng| {
        let raw = rng.next() >> (64 - bits);
        let most = u64::MAX >> (64 - bits);
        match (unsigned, rng.below(6)) {
            (true, 0) => most.to_string(),
            (true, 1) => (most / 2 + 1).to_string(),
            (true, 2) => "0".to_owned(),
            (true, _) => raw.to_string(),
            (false, 0) => format!("-{}", most / 2 + 1),
            (false, 1) => (most / 2).to_string(),
            (false, 2) => "-1".to_owned(),
            (false, 3) => (raw / 2).to_string(),
            (false, _) => format!("-{}", raw / 2),
        }
    })
}

pub fn year() -> Literal {
    Box::new(|rng| rng.pick(&["0", "1901", "2155", "1970", "2026", "1999"]).to_string())
}

pub fn decimal(precision: usize, scale: usize, unsigned: bool) -> Literal {
    Box::new(move |rng| {
        let form = rng.below(5);
        let mut digit = || match form {
            0 => '9',
            1 => '0',
            _ => char::from(b'0' + rng.below(10) as u8),
        };
        let whole: String = (0..precision - scale).map(|_| digit()).collect();
        let fraction: String = (0..scale).map(|_| digit()).collect();
        let sign = if !unsigned && rng.one_in(2) { "-" } else { "" };
        format!("{sign}0{whole}.{fraction}0")
    })
}

pub fn float() -> Literal {
    Box::new(|rng| match rng.below(3) {
        0 => rng.pick(&["0", "-0e0", "1.1", "-16777217", "3.4028e38", "1.1754944e-38", "0.1"]).to_string(),
        _ => {
            let number = f32::from_bits(rng.next() as u32);
            if number.is_normal() && number.abs() < 3.4e38 { format!("{number:e}") } else { "2.5".to_owned() }
        }
    })
}

pub fn double() -> Literal {
    Box::new(|rng| match rng.below(3) {
        0 => rng
            .pick(&[
                "0",
                "-0e0",
                "0.1",
                "1e15",
                "123456789012345678",
                "1.7976931348623157e308",
                "2.2250738585072014e-308",
                "5e-324",
            ])
            .to_string(),
        _ => {
            let number = f64::from_bits(rng.next());
            if number.is_normal() { format!("{number:e}") } else { "-2.5e-3".to_owned() }
        }
    })
}

pub fn bits(width: u8) -> Literal {
    Box::new(move |rng| {
        let most = u64::MAX >> (64 - u32::from(width));
        match rng.below(4) {
            0 => most.to_string(),
            1 => "0".to_owned(),
            _ => (rng.next() & most).to_string(),
        }
    })
}

const DATES: [&str; 10] = [
    "0000-00-00",
    "2026-00-05",
    "2026-05-00",
    "0000-05-10",
    "0001-01-01",
    "1000-01-01",
    "1969-12-31",
    "1970-01-01",
    "2024-02-29",
    "9999-12-31",
];

fn day(rng: &mut Rng) -> String {
    if rng.one_in(3) {
        rng.pick(&DATES).to_string()
    } else {
        format!("{:04}-{:02}-{:02}", 1 + rng.below(9_999), 1 + rng.below(12), 1 + rng.below(28))
    }
}

fn clock(rng: &mut Rng) -> String {
    match rng.below(4) {
        0 => "00:00:00".to_owned(),
        1 => "23:59:59.999999".to_owned(),
        _ => format!(
            "{:02}:{:02}:{:02}.{:06}",
            rng.below(24),
            rng.below(60),
            rng.below(60),
            rng.below(1_000_000)
        ),
    }
}

pub fn date() -> Literal {
    Box::new(|rng| format!("'{}'", day(rng)))
}

pub fn datetime() -> Literal {
    Box::new(|rng| {
        let day = day(rng);
        // rounding up past the last day would be a zero date with a warning
        if day.starts_with("9999-12-31") {
            format!("'{day} 12:00:00'")
        } else {
            format!("'{day} {}'", clock(rng))
        }
    })
}

pub fn timestamp() -> Literal {
    Box::new(|rng| match rng.below(5) {
        0 => rng
            .pick(&[
                "'0000-00-00 00:00:00'",
                "'1970-01-01 00:00:01'",
                "'2038-01-19 03:14:06.999999'",
                "'2026-10-25 00:30:00'",
            ])
            .to_string(),
        _ => format!("FROM_UNIXTIME({}.{:06})", 1 + rng.below(2_147_483_000), rng.below(1_000_000)),
    })
}

pub fn time() -> Literal {
    Box::new(|rng| match rng.below(4) {
        0 => rng
            .pick(&[
                "'-838:59:59'",
                "'838:59:59'",
                "'-00:00:00.000001'",
                "'00:00:00'",
                "'-00:00:01.5'",
                "'838:59:58.999999'",
            ])
            .to_string(),
        _ => {
            let sign = if rng.one_in(2) { "-" } else { "" };
            format!(
                "'{sign}{}:{:02}:{:02}.{:06}'",
                rng.below(838),
                rng.below(60),
                rng.below(60),
                rng.below(1_000_000)
            )
        }
    })
}

pub fn binary(longest: usize) -> Literal {
    Box::new(move |rng| {
        let len = rng.below(longest + 1);
        format!("x'{}'", hex::encode(rng.bytes(len)))
    })
}

/// Characters of every script that some charset has; where a column's has not, the server stores `?`.
const SCRIPTS: [&str; 10] = [
    "ÀÉîõü€ß\u{a0}",
    "ŁŻőčđ",
    "λΩάή",
    "Жёїґ№",
    "אבגש",
    "ضقچ",
    "กขฃ๙",
    "Աբ՞აჰ",
    "收款中國漢字",
    "かなカナｱ～〜가한",
];

fn words(rng: &mut Rng, longest: usize) -> String {
    let script: Vec<char> = rng.pick(&SCRIPTS).chars().collect();
    (0..rng.below(longest + 1))
        .map(|_| match rng.below(5) {
            0 => *rng.pick(&['"', '\\', '\n', '\t', '\'', '~', '\0', '\u{1f}', '/']),
            1 => char::from(b' ' + rng.below(95) as u8),
            2 => *rng.pick(&['😀', '𠀋', '\u{fffe}', '\u{e000}']),
            _ => *rng.pick(&script),
        })
        .collect()
}

fn utf8(text: &str) -> String {
    format!("_utf8mb4 x'{}'", hex::encode(text))
}

/// Four-byte characters become `?` in utf8mb3 and ucs2 as elsewhere.
pub fn text(_charset: &str) -> Literal {
    Box::new(|rng| utf8(&words(rng, 9)))
}

pub fn long_text(_charset: &str) -> Literal {
    Box::new(|rng| format!("REPEAT({}, {})", utf8(&words(rng, 4)), rng.below(60)))
}

/// Members of an ENUM or SET, which every charset has.
pub fn members(count: usize) -> Vec<String> {
    (0..count)
        .map(|at| match at % 3 {
            0 => format!("'v{at}'"),
            1 => format!("'a \"{at}'"),
            _ => format!("'''{at}/'"),
        })
        .collect()
}

/// One of the values; or one that the list has not, which is stored as index 0.
pub fn one_of(values: Vec<String>) -> Literal {
    Box::new(move |rng| if rng.one_in(8) { "'not among them'".to_owned() } else { rng.pick(&values).clone() })
}

pub fn set(count: usize) -> Literal {
    Box::new(move |rng| {
        let most = u64::MAX >> (64 - count as u32);
        match rng.below(4) {
            0 => "0".to_owned(),
            1 => most.to_string(),
            _ => (rng.next() & most).to_string(),
        }
    })
}

pub fn geometry(kind: &'static str, mariadb: bool) -> Literal {
    Box::new(move |rng| {
        let mut number = || format!("{}.{}", rng.below(80) as i32 - 40, rng.below(1000));
        let mut point = || format!("{} {}", number(), number());
        let (a, b, c) = (point(), point(), point());
        let kind = match kind {
            "GEOMETRY" => *rng.pick(&["POINT", "LINESTRING", "POLYGON", "GEOMETRYCOLLECTION"]),
            other => other,
        };
        let text = match kind {
            "POINT" => format!("POINT({a})"),
            "LINESTRING" => format!("LINESTRING({a}, {b}, {c})"),
            "POLYGON" => format!("POLYGON(({a}, {b}, {c}, {a}))"),
            _ => format!("GEOMETRYCOLLECTION(POINT({a}), LINESTRING({b}, {c}))"),
        };
        let srid = if rng.one_in(2) { 0 } else { 4326 };
        let srid = if mariadb && rng.one_in(4) { 4_000_000_000u32 } else { srid };
        format!("ST_GeomFromText('{text}', {srid})")
    })
}

pub fn address(kind: &'static str) -> Literal {
    Box::new(move |rng| match kind {
        "UUID" if rng.one_in(2) => "UUID()".to_owned(),
        "UUID" => {
            let hex = hex::encode(
                (0..16).map(|_| if rng.one_in(3) { 0 } else { rng.next() as u8 }).collect::<Vec<_>>(),
            );
            format!("'{}-{}-{}-{}-{}'", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
        }
        "INET4" => format!("'{}.{}.{}.{}'", rng.below(256), rng.below(2), rng.below(256), rng.below(2)),
        _ => match rng.below(6) {
            0 => rng
                .pick(&[
                    "'::'",
                    "'::1'",
                    "'1::'",
                    "'::ffff:1.2.3.4'",
                    "'::1.2.3.4'",
                    "'::ffff'",
                    "'1:0:0:2::3'",
                    "'::2:0:0:1'",
                ])
                .to_string(),
            _ => {
                let groups: Vec<_> = (0..8)
                    .map(|_| if rng.one_in(2) { "0".to_owned() } else { format!("{:x}", rng.below(65_536)) })
                    .collect();
                format!("'{}'", groups.join(":"))
            }
        },
    })
}

pub fn vector(count: usize, mariadb: bool) -> Literal {
    Box::new(move |rng| {
        let numbers: Vec<_> =
            (0..count).map(|_| format!("{}.{}", rng.below(2_000) as i32 - 1_000, rng.below(1_000))).collect();
        let function = if mariadb { "VEC_FromText" } else { "STRING_TO_VECTOR" };
        format!("{function}('[{}]')", numbers.join(","))
    })
}

/// JSON of MariaDB: a text that is kept as it was written.
pub fn json_text() -> Literal {
    Box::new(|rng| {
        let text = words(rng, 6).replace('\u{1f}', " ");
        let json = serde_json::json!({"b": [1.5, null, true, text], "a": {"ü": rng.next()}});
        utf8(&json.to_string().replace(',', " ,  "))
    })
}

/// JSON of MySQL, with values that have no JSON type of their own.
pub fn json_value() -> Literal {
    // a value that is no text is not taken for JSON on its own
    Box::new(|rng| format!("JSON_EXTRACT(JSON_ARRAY({}), '$[0]')", value(rng, 3)))
}

fn value(rng: &mut Rng, depth: usize) -> String {
    if depth > 0 && rng.one_in(2) {
        let count = if rng.one_in(20) { 700 } else { rng.below(6) };
        let elements: Vec<_> = (0..count)
            .map(|at| {
                // a large container holds small elements, or its statement grows too long
                let element = if count > 6 { scalar(rng) } else { value(rng, depth - 1) };
                (at, element)
            })
            .collect();
        return if rng.one_in(2) {
            format!(
                "JSON_ARRAY({})",
                elements.into_iter().map(|(_, element)| element).collect::<Vec<_>>().join(", ")
            )
        } else {
            let pairs: Vec<_> = elements
                .into_iter()
                .map(|(at, element)| format!("{}, {element}", utf8(&format!("{at}{}", words(rng, 3)))))
                .collect();
            format!("JSON_OBJECT({})", pairs.join(", "))
        };
    }
    scalar(rng)
}

fn scalar(rng: &mut Rng) -> String {
    match rng.below(16) {
        0 => "NULL".to_owned(),
        1 => "CAST('true' AS JSON)".to_owned(),
        2 => "CAST('false' AS JSON)".to_owned(),
        3 => rng
            .pick(&[
                "32767",
                "32768",
                "-32769",
                "65535",
                "65536",
                "2147483648",
                "-2147483649",
                "4294967296",
                "-9223372036854775808",
                "9223372036854775808",
                "18446744073709551615",
                "0",
            ])
            .to_string(),
        4 => format!("{}", rng.next() as i64 >> rng.below(63)),
        5 | 6 => format!("CAST({} AS DOUBLE)", double()(rng)),
        7 => format!("CAST({} AS DECIMAL(40,10))", decimal(30, 10, false)(rng)),
        8 => format!("CAST('{}' AS DATE)", rng.pick(&DATES[4..])),
        9 => format!("CAST({} AS TIME(6))", time()(rng)),
        10 => format!("CAST('2026-11-22 {}' AS DATETIME(6))", clock(rng)),
        11 => {
            let len = rng.below(80);
            format!("CAST(x'{}' AS BINARY)", hex::encode(rng.bytes(len)))
        }
        12 => format!("CAST({} AS YEAR)", year()(rng)),
        13 => format!("REPEAT('long ', {})", rng.below(60)),
        _ => utf8(&words(rng, 8)),
    }
}
