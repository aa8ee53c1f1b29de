-- How each node's replica stood when the node last told: what it holds of what the rules need, what it fetches, what failed.
-- For people who look; nothing is decided by it. A node tells again what it holds, so a lost row is no loss.
create table replicas (
    pool_id bigint not null,
    node text not null,
    -- The rules that the node goes by; null before it has any.
    generation bigint,
    -- When the Central Management store last confirmed those to the node.
    confirmed_at timestamptz,
    -- What is held is between nothing and this, and so this is never below nothing.
    needed_files bigint not null,
    needed_bytes bigint not null,
    held_files bigint not null constraint replicas_held_files_check check (held_files between 0 and needed_files),
    held_bytes bigint not null constraint replicas_held_bytes_check check (held_bytes between 0 and needed_bytes),
    -- Nothing more is on its way: what is needed is held, or has failed.
    settled boolean not null,
    failed_files bigint not null constraint replicas_failed_files_check check (failed_files between 0 and needed_files),
    -- The first few files by their paths: {"fetching": [...], "failed": [...], "lacking": [...]}.
    detail jsonb not null,
    reported_at timestamptz not null default now(),
    constraint replicas_pool_fkey foreign key (pool_id) references pools
);
create unique index replicas_unique on replicas (pool_id, folded(node));
