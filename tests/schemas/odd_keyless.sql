-- Apart, so that a database can be made without it: a table that has no key, and sends its whole old rows.

create schema keyless;

create table keyless.log_lines (
    at    timestamptz,
    line  text,
    n     integer
);
alter table keyless.log_lines replica identity full;
