//! Migrations: numbered without a gap, and each after the first only adds, so that the program before it goes on working, or
//! says that it does not (decision 0023). What a statement does is read from its first words; what is not known is refused.

use super::{none, texts};
use std::collections::BTreeSet;

/// Statements that only add, whatever they name.
const ADDITIONS: [&str; 5] = ["create index ", "create view ", "create function ", "create type ", "comment on "];

/// Statements that only add when they are about a table of the same migration, with the word before its name.
const ON_NEW_TABLES: [(&str, &str); 6] = [
    ("create unique index ", " on "),
    ("create trigger ", " on "),
    ("insert into ", "insert into "),
    ("update ", "update "),
    ("alter table ", "alter table "),
    ("revoke ", " on "),
];

#[test]
fn migrations_are_numbered_and_only_add() {
    let files: Vec<_> = texts(".sql").into_iter().filter(|(name, _)| name.starts_with("schema/migrations/")).collect();
    let numbers: Vec<Option<u32>> = files.iter().map(|(name, _)| number(name)).collect();
    let mut sorted: Vec<u32> = numbers.iter().copied().flatten().collect();
    sorted.sort_unstable();
    assert_eq!(
        sorted,
        (1..=u32::try_from(files.len()).unwrap()).collect::<Vec<_>>(),
        "V1, V2, V3 and so on: {files:?}"
    );
    let later = files.iter().zip(numbers).filter_map(|(file, number)| Some((file, number.filter(|it| *it > 1)?)));
    none(later.flat_map(|((name, sql), number)| {
        faults(sql, number).into_iter().map(move |fault| format!("{name}: {fault}"))
    }));
}

/// The number of a migration's file.
fn number(name: &str) -> Option<u32> {
    name.rsplit('/').next()?.strip_prefix('V')?.split_once("__")?.0.parse().ok()
}

/// What older programs might not bear, unless the migration says that they may not use the database any more.
fn faults(sql: &str, version: u32) -> Vec<String> {
    let statements = statements(sql);
    let raise = "update schema_compatibility set oldest_program = ";
    if let Some(raised) = statements.iter().find_map(|statement| statement.strip_prefix(raise)) {
        let wrong = format!("raises oldest_program to {raised}, not to its own version {version}");
        return if raised == version.to_string() { Vec::new() } else { vec![wrong] };
    }
    let made = |statement: &String| Some(first_word(statement.strip_prefix("create table ")?));
    let tables: BTreeSet<String> = statements.iter().filter_map(made).collect();
    let bad = statements.into_iter().filter(|statement| !only_adds(statement, &tables));
    bad.map(|statement| format!("does more than add, and does not raise oldest_program: {statement}")).collect()
}

fn only_adds(statement: &str, new_tables: &BTreeSet<String>) -> bool {
    if statement.starts_with("create table ") || ADDITIONS.iter().any(|addition| statement.starts_with(addition)) {
        return true;
    }
    let on_new = ON_NEW_TABLES.iter().any(|(begin, before)| {
        let table = statement.strip_prefix(begin).and(statement.split_once(before)).map(|(_, rest)| first_word(rest));
        table.is_some_and(|table| new_tables.contains(&table))
    });
    on_new || only_adds_columns(statement)
}

/// Columns of a table that older programs fill: they don't know them, so that a value must come by itself.
fn only_adds_columns(statement: &str) -> bool {
    let Some((_, actions)) = statement.strip_prefix("alter table ").and_then(|rest| rest.split_once(' ')) else {
        return false;
    };
    let fills_itself = |action: &str| !action.contains(" not null") || action.contains(" default ");
    let unique = |action: &str| action.contains(" unique") || action.contains(" primary key");
    top_level(actions)
        .iter()
        .all(|action| action.trim().starts_with("add column ") && fills_itself(action) && !unique(action))
}

/// The parts between commas that stand in no brackets.
fn top_level(actions: &str) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for c in actions.chars() {
        depth += i32::from(c == '(') - i32::from(c == ')');
        match parts.last_mut() {
            Some(part) if c != ',' || depth > 0 => part.push(c),
            _ => parts.push(String::new()),
        }
    }
    parts
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The statements of a script, without comments, in lower case, with single spaces.
fn statements(sql: &str) -> Vec<String> {
    let code: Vec<&str> = sql.lines().map(|line| line.split_once("--").map_or(line, |(code, _)| code)).collect();
    let words: Vec<&str> = code.iter().flat_map(|line| line.split_whitespace()).collect();
    let text = words.join(" ").to_lowercase();
    // The body of a function stands between $$ and $$.
    let (mut found, mut in_body) = (vec![String::new()], false);
    for (index, part) in text.split("$$").enumerate() {
        in_body = index % 2 == 1;
        let pieces: Vec<&str> = if in_body { vec![part] } else { part.split(';').collect() };
        for (index, piece) in pieces.into_iter().enumerate() {
            match found.last_mut() {
                Some(last) if index == 0 => last.push_str(piece),
                _ => found.push(piece.trim_start().to_owned()),
            }
        }
    }
    assert!(!in_body, "a $$ without its end");
    found.into_iter().map(|statement| statement.trim().to_owned()).filter(|statement| !statement.is_empty()).collect()
}

#[test]
fn migrations_that_older_programs_would_not_bear_are_found() {
    let added = "
        -- drop table pools;
        create table colours (id bigint, name text default 'a,b');
        create unique index colours_name on colours (name);
        insert into colours values (1);
        alter table colours add constraint x check (id > 0);
        alter table pools add column colour bigint references colours, add column \"size\" numeric(4, 2) not null default 1;
        create index pools_colour on pools (colour);
        create function f() returns trigger language plpgsql as $$ begin drop table pools; end $$;";
    assert_eq!(faults(added, 7), Vec::<String>::new());
    for bad in [
        "drop table pools",
        "alter table pools drop column fqdn",
        "alter table pools rename to ponds",
        "alter table pools rename column fqdn to name",
        "alter table pools add column colour text not null",
        "alter table pools add column colour text, drop column fqdn",
        "alter table pools add column colour text unique",
        "alter table pools add constraint x check (fqdn <> '')",
        "alter table pools alter column fqdn type varchar",
        "create unique index x on pools (fqdn)",
        "create trigger x before insert on pools for each row execute function f()",
        "create or replace function folded(name text) returns text language sql return name",
        "update pools set fqdn = ''",
        "delete from pools",
        "insert into pools values (1)",
        "truncate pools",
    ] {
        assert_eq!(faults(&format!("create table ok (id bigint);\n{bad};"), 7).len(), 1, "{bad}");
        let raised = format!("{bad};\nUPDATE schema_compatibility\n set oldest_program = 7;");
        assert_eq!(faults(&raised, 7), Vec::<String>::new(), "{bad}");
        assert_eq!(faults(&raised, 8).len(), 1, "{bad}");
    }
    assert_eq!(number("schema/migrations/V12__a_b.sql"), Some(12));
    assert_eq!(number("schema/migrations/V1_a.sql"), None);
}
