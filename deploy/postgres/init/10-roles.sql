-- Run once, by the image, when the data folder is new. Passwords are read from the secrets by psql itself: they stand in no command line.
\set ON_ERROR_STOP on
\set shop_password `cat /run/secrets/shop_password`
\set bridge_password `cat /run/secrets/bridge_password`
\set reader_password `cat /run/secrets/reader_password`
\set ledger_password `cat /run/secrets/ledger_password`

-- The application, whose database it is.
CREATE ROLE shop LOGIN PASSWORD :'shop_password';
CREATE DATABASE shop OWNER shop;

-- The bridge: it makes the publication by itself, as a member of the owner (docs/privileges.md, Admin).
CREATE ROLE bridge LOGIN REPLICATION PASSWORD :'bridge_password';
GRANT shop TO bridge;
GRANT CREATE ON DATABASE shop TO bridge;

-- The proxy may only look (docs/privileges.md, Reader).
CREATE ROLE reader LOGIN PASSWORD :'reader_password';

-- The ledger, which bridge and proxy share, in a database of its own.
CREATE ROLE ledger LOGIN PASSWORD :'ledger_password';
CREATE DATABASE ledger OWNER ledger;
