-- Two versions of the program work on one database while a pool is upgraded node by node; nodes tell how they are; and one
-- key for TLS session tickets is the pool's.

-- The oldest program that may use this schema, by the schema version that it was made for. A migration that only adds leaves
-- it as it is; one after which older programs would fail, or do wrong, sets it to its own version (decision 0023). Programs
-- before this rule accepted their own version only.
create table schema_compatibility (
    is_only_row boolean constraint schema_compatibility_pkey primary key default true
        constraint schema_compatibility_only_row_check check (is_only_row),
    oldest_program integer not null constraint schema_compatibility_oldest_program_check check (oldest_program >= 1)
);
insert into schema_compatibility (oldest_program) values (2);

-- What a node said of itself when it last reported; that it is silent is for the reader to see.
alter table nodes add column state text not null default 'serving'
    constraint nodes_state_check check (state in ('serving', 'draining', 'stopped'));
-- Whose name it is: the data folder's id. Another folder with this name is another node, and is refused while this one lives.
alter table nodes add column instance uuid;
-- After so long without a report the node is silent: it knows best how often it reports.
alter table nodes add column silent_after_ms bigint not null default 90000
    constraint nodes_silent_after_check check (silent_after_ms > 0);

-- Session tickets of TLS are encrypted with these, so that a phone resumes on any node of its pool. A row is deleted when no
-- node accepts its tickets any more.
create table ticket_keys (
    pool_id bigint not null constraint ticket_keys_pool_fkey references pools,
    -- Counts up: two nodes that rotate at once make one key.
    number bigint not null constraint ticket_keys_number_check check (number >= 1),
    -- Stands in each ticket, and says which key it is for.
    name bytea not null constraint ticket_keys_name_check check (octet_length(name) = 16),
    secret bytea not null constraint ticket_keys_secret_check check (octet_length(secret) = 32),
    made_at timestamptz not null default now(),
    -- A while after it was made: by then every node accepts it.
    used_from timestamptz not null,
    constraint ticket_keys_pkey primary key (pool_id, number),
    constraint ticket_keys_used_from_check check (used_from >= made_at)
);
