BEGIN TRANSACTION;
CREATE TABLE alternates (
        tbl integer not null, key text not null, lookup text not null, value text not null, primary key (tbl, key, lookup)
    );
INSERT INTO "alternates" VALUES(1,'1','1:email','["c1@example.org"]');
INSERT INTO "alternates" VALUES(1,'2','1:email','["c2@example.org"]');
INSERT INTO "alternates" VALUES(1,'4','1:email','["c4@example.org"]');
INSERT INTO "alternates" VALUES(1,'5','1:email','["c5@example.org"]');
INSERT INTO "alternates" VALUES(1,'6','1:email','["c6@example.org"]');
INSERT INTO "alternates" VALUES(1,'7','1:email','["c7@example.org"]');
INSERT INTO "alternates" VALUES(1,'8','1:email','["c8@example.org"]');
INSERT INTO "alternates" VALUES(1,'9','1:email','["c9@example.org"]');
INSERT INTO "alternates" VALUES(1,'10','1:email','["c10@example.org"]');
INSERT INTO "alternates" VALUES(1,'11','1:email','["c11@example.org"]');
INSERT INTO "alternates" VALUES(1,'12','1:email','["c12@example.org"]');
INSERT INTO "alternates" VALUES(1,'13','1:email','["c13@example.org"]');
INSERT INTO "alternates" VALUES(1,'14','1:email','["c14@example.org"]');
INSERT INTO "alternates" VALUES(1,'15','1:email','["c15@example.org"]');
INSERT INTO "alternates" VALUES(1,'16','1:email','["c16@example.org"]');
INSERT INTO "alternates" VALUES(1,'17','1:email','["c17@example.org"]');
INSERT INTO "alternates" VALUES(1,'18','1:email','["c18@example.org"]');
INSERT INTO "alternates" VALUES(1,'19','1:email','["c19@example.org"]');
INSERT INTO "alternates" VALUES(1,'20','1:email','["c20@example.org"]');
INSERT INTO "alternates" VALUES(1,'21','1:email','["c21@example.org"]');
INSERT INTO "alternates" VALUES(1,'22','1:email','["c22@example.org"]');
INSERT INTO "alternates" VALUES(1,'23','1:email','["c23@example.org"]');
INSERT INTO "alternates" VALUES(1,'24','1:email','["c24@example.org"]');
INSERT INTO "alternates" VALUES(1,'25','1:email','["c25@example.org"]');
INSERT INTO "alternates" VALUES(1,'26','1:email','["c26@example.org"]');
INSERT INTO "alternates" VALUES(1,'27','1:email','["c27@example.org"]');
INSERT INTO "alternates" VALUES(1,'28','1:email','["c28@example.org"]');
INSERT INTO "alternates" VALUES(1,'29','1:email','["c29@example.org"]');
INSERT INTO "alternates" VALUES(1,'30','1:email','["c30@example.org"]');
INSERT INTO "alternates" VALUES(1,'3','1:email','["moved@example.org"]');
CREATE TABLE asked (
        label text not null, verb text not null, detail text not null, made double precision not null, refused text,
        primary key (label, verb)
    );
CREATE TABLE audit (
        id integer primary key not null, at double precision not null, who text not null, verb text not null, label text not null,
        detail text not null
    );
CREATE TABLE choices (label text not null, verb text not null, detail text not null, primary key (label, verb));
CREATE TABLE chunks (
        tbl integer not null, number integer not null, after text, upto text, done boolean not null, rows bigint not null,
        reached bigint not null, primary key (tbl, number)
    );
INSERT INTO "chunks" VALUES(4,0,NULL,NULL,1,61,28449208);
INSERT INTO "chunks" VALUES(2,0,NULL,NULL,1,120,28449320);
INSERT INTO "chunks" VALUES(3,0,NULL,NULL,1,25,28449320);
INSERT INTO "chunks" VALUES(1,0,NULL,NULL,1,31,28449320);
CREATE TABLE counters (name text primary key not null, value bigint not null);
INSERT INTO "counters" VALUES('embedded',432);
INSERT INTO "counters" VALUES('parked',1);
INSERT INTO "counters" VALUES('refreshed',128);
INSERT INTO "counters" VALUES('changes_applied',55);
INSERT INTO "counters" VALUES('target_restarts',1);
INSERT INTO "counters" VALUES('mended',188);
INSERT INTO "counters" VALUES('rewritten',47);
CREATE TABLE edges (
        tbl integer not null, key text not null, constraint_name text not null, parent integer not null, parent_key text,
        lookup text, lookup_value text, primary key (tbl, key, constraint_name)
    ) without rowid
    ;
INSERT INTO "edges" VALUES(2,'10_1','lines_order_id_fkey',4,'10',NULL,NULL);
INSERT INTO "edges" VALUES(2,'1_1','lines_order_id_fkey',4,'1',NULL,NULL);
INSERT INTO "edges" VALUES(2,'2_1','lines_order_id_fkey',4,'2',NULL,NULL);
INSERT INTO "edges" VALUES(2,'3_1','lines_order_id_fkey',4,'3',NULL,NULL);
INSERT INTO "edges" VALUES(2,'4_1','lines_order_id_fkey',4,'4',NULL,NULL);
INSERT INTO "edges" VALUES(2,'5_1','lines_order_id_fkey',4,'5',NULL,NULL);
INSERT INTO "edges" VALUES(2,'6_1','lines_order_id_fkey',4,'6',NULL,NULL);
INSERT INTO "edges" VALUES(2,'7_1','lines_order_id_fkey',4,'7',NULL,NULL);
INSERT INTO "edges" VALUES(2,'8_1','lines_order_id_fkey',4,'8',NULL,NULL);
INSERT INTO "edges" VALUES(2,'9_1','lines_order_id_fkey',4,'9',NULL,NULL);
INSERT INTO "edges" VALUES(3,'10','notes_after_fkey',3,'5',NULL,NULL);
INSERT INTO "edges" VALUES(3,'1001','notes_after_fkey',3,'12',NULL,NULL);
INSERT INTO "edges" VALUES(3,'11','notes_after_fkey',3,'5',NULL,NULL);
INSERT INTO "edges" VALUES(3,'12','notes_after_fkey',3,'6',NULL,NULL);
INSERT INTO "edges" VALUES(3,'13','notes_after_fkey',3,'6',NULL,NULL);
INSERT INTO "edges" VALUES(3,'14','notes_after_fkey',3,'7',NULL,NULL);
INSERT INTO "edges" VALUES(3,'15','notes_after_fkey',3,'7',NULL,NULL);
INSERT INTO "edges" VALUES(3,'16','notes_after_fkey',3,'8',NULL,NULL);
INSERT INTO "edges" VALUES(3,'17','notes_after_fkey',3,'8',NULL,NULL);
INSERT INTO "edges" VALUES(3,'18','notes_after_fkey',3,'9',NULL,NULL);
INSERT INTO "edges" VALUES(3,'19','notes_after_fkey',3,'9',NULL,NULL);
INSERT INTO "edges" VALUES(3,'2','notes_after_fkey',3,'1',NULL,NULL);
INSERT INTO "edges" VALUES(3,'20','notes_after_fkey',3,'10',NULL,NULL);
INSERT INTO "edges" VALUES(3,'21','notes_after_fkey',3,'10',NULL,NULL);
INSERT INTO "edges" VALUES(3,'22','notes_after_fkey',3,'11',NULL,NULL);
INSERT INTO "edges" VALUES(3,'23','notes_after_fkey',3,'11',NULL,NULL);
INSERT INTO "edges" VALUES(3,'24','notes_after_fkey',3,'12',NULL,NULL);
INSERT INTO "edges" VALUES(3,'3','notes_after_fkey',3,'1',NULL,NULL);
INSERT INTO "edges" VALUES(3,'4','notes_after_fkey',3,'2',NULL,NULL);
INSERT INTO "edges" VALUES(3,'5','notes_after_fkey',3,'2',NULL,NULL);
INSERT INTO "edges" VALUES(3,'6','notes_after_fkey',3,'3',NULL,NULL);
INSERT INTO "edges" VALUES(3,'7','notes_after_fkey',3,'3',NULL,NULL);
INSERT INTO "edges" VALUES(3,'8','notes_after_fkey',3,'4',NULL,NULL);
INSERT INTO "edges" VALUES(3,'9','notes_after_fkey',3,'4',NULL,NULL);
INSERT INTO "edges" VALUES(4,'1','orders_customer_fkey',1,'2','1:email','["c2@example.org"]');
INSERT INTO "edges" VALUES(4,'10','orders_customer_fkey',1,'11','1:email','["c11@example.org"]');
INSERT INTO "edges" VALUES(4,'11','orders_customer_fkey',1,'12','1:email','["c12@example.org"]');
INSERT INTO "edges" VALUES(4,'12','orders_customer_fkey',1,'13','1:email','["c13@example.org"]');
INSERT INTO "edges" VALUES(4,'13','orders_customer_fkey',1,'14','1:email','["c14@example.org"]');
INSERT INTO "edges" VALUES(4,'14','orders_customer_fkey',1,'15','1:email','["c15@example.org"]');
INSERT INTO "edges" VALUES(4,'15','orders_customer_fkey',1,'16','1:email','["c16@example.org"]');
INSERT INTO "edges" VALUES(4,'16','orders_customer_fkey',1,'17','1:email','["c17@example.org"]');
INSERT INTO "edges" VALUES(4,'17','orders_customer_fkey',1,'18','1:email','["c18@example.org"]');
INSERT INTO "edges" VALUES(4,'18','orders_customer_fkey',1,'19','1:email','["c19@example.org"]');
INSERT INTO "edges" VALUES(4,'19','orders_customer_fkey',1,'20','1:email','["c20@example.org"]');
INSERT INTO "edges" VALUES(4,'2','orders_customer_fkey',1,'3','1:email','["moved@example.org"]');
INSERT INTO "edges" VALUES(4,'3','orders_customer_fkey',1,'4','1:email','["c4@example.org"]');
INSERT INTO "edges" VALUES(4,'31','orders_customer_fkey',1,'2','1:email','["c2@example.org"]');
INSERT INTO "edges" VALUES(4,'32','orders_customer_fkey',1,'3','1:email','["moved@example.org"]');
INSERT INTO "edges" VALUES(4,'33','orders_customer_fkey',1,'4','1:email','["c4@example.org"]');
INSERT INTO "edges" VALUES(4,'34','orders_customer_fkey',1,'5','1:email','["c5@example.org"]');
INSERT INTO "edges" VALUES(4,'35','orders_customer_fkey',1,'6','1:email','["c6@example.org"]');
INSERT INTO "edges" VALUES(4,'36','orders_customer_fkey',1,'7','1:email','["c7@example.org"]');
INSERT INTO "edges" VALUES(4,'37','orders_customer_fkey',1,'8','1:email','["c8@example.org"]');
INSERT INTO "edges" VALUES(4,'38','orders_customer_fkey',1,'9','1:email','["c9@example.org"]');
INSERT INTO "edges" VALUES(4,'39','orders_customer_fkey',1,'10','1:email','["c10@example.org"]');
INSERT INTO "edges" VALUES(4,'4','orders_customer_fkey',1,'5','1:email','["c5@example.org"]');
INSERT INTO "edges" VALUES(4,'40','orders_customer_fkey',1,'11','1:email','["c11@example.org"]');
INSERT INTO "edges" VALUES(4,'41','orders_customer_fkey',1,'12','1:email','["c12@example.org"]');
INSERT INTO "edges" VALUES(4,'42','orders_customer_fkey',1,'13','1:email','["c13@example.org"]');
INSERT INTO "edges" VALUES(4,'43','orders_customer_fkey',1,'14','1:email','["c14@example.org"]');
INSERT INTO "edges" VALUES(4,'44','orders_customer_fkey',1,'15','1:email','["c15@example.org"]');
INSERT INTO "edges" VALUES(4,'45','orders_customer_fkey',1,'16','1:email','["c16@example.org"]');
INSERT INTO "edges" VALUES(4,'46','orders_customer_fkey',1,'17','1:email','["c17@example.org"]');
INSERT INTO "edges" VALUES(4,'47','orders_customer_fkey',1,'18','1:email','["c18@example.org"]');
INSERT INTO "edges" VALUES(4,'48','orders_customer_fkey',1,'19','1:email','["c19@example.org"]');
INSERT INTO "edges" VALUES(4,'49','orders_customer_fkey',1,'20','1:email','["c20@example.org"]');
INSERT INTO "edges" VALUES(4,'5','orders_customer_fkey',1,'6','1:email','["c6@example.org"]');
INSERT INTO "edges" VALUES(4,'50','orders_customer_fkey',1,'21','1:email','["c21@example.org"]');
INSERT INTO "edges" VALUES(4,'51','orders_customer_fkey',1,'22','1:email','["c22@example.org"]');
INSERT INTO "edges" VALUES(4,'52','orders_customer_fkey',1,'23','1:email','["c23@example.org"]');
INSERT INTO "edges" VALUES(4,'53','orders_customer_fkey',1,'24','1:email','["c24@example.org"]');
INSERT INTO "edges" VALUES(4,'54','orders_customer_fkey',1,'25','1:email','["c25@example.org"]');
INSERT INTO "edges" VALUES(4,'55','orders_customer_fkey',1,'26','1:email','["c26@example.org"]');
INSERT INTO "edges" VALUES(4,'56','orders_customer_fkey',1,'27','1:email','["c27@example.org"]');
INSERT INTO "edges" VALUES(4,'57','orders_customer_fkey',1,'28','1:email','["c28@example.org"]');
INSERT INTO "edges" VALUES(4,'58','orders_customer_fkey',1,'29','1:email','["c29@example.org"]');
INSERT INTO "edges" VALUES(4,'59','orders_customer_fkey',1,'30','1:email','["c30@example.org"]');
INSERT INTO "edges" VALUES(4,'6','orders_customer_fkey',1,'7','1:email','["c7@example.org"]');
INSERT INTO "edges" VALUES(4,'60','orders_customer_fkey',1,'1','1:email','["c1@example.org"]');
INSERT INTO "edges" VALUES(4,'61','orders_customer_fkey',1,NULL,'1:email','["large@example.org"]');
INSERT INTO "edges" VALUES(4,'7','orders_customer_fkey',1,'8','1:email','["c8@example.org"]');
INSERT INTO "edges" VALUES(4,'8','orders_customer_fkey',1,'9','1:email','["c9@example.org"]');
INSERT INTO "edges" VALUES(4,'9','orders_customer_fkey',1,'10','1:email','["c10@example.org"]');
CREATE TABLE epochs (
        number integer primary key not null, epoch text not null, seen double precision not null, repaired double precision
    );
INSERT INTO "epochs" VALUES(1,'2026-11-21T14:06:12.182280467Z',1.79526997950361323361e+09,1.79526997957908916476e+09);
INSERT INTO "epochs" VALUES(2,'2026-11-21T14:06:24.162688249Z',1.79526998479464578633e+09,1.79526998576526069639e+09);
CREATE TABLE facts (name text primary key not null, value text not null);
INSERT INTO "facts" VALUES('schema_version','7');
INSERT INTO "facts" VALUES('ledger_id','bf447c9085b1410081042933939b28ad');
INSERT INTO "facts" VALUES('created','1795269978.771976');
INSERT INTO "facts" VALUES('model:1','["hashing-512", "hashing-512"]');
INSERT INTO "facts" VALUES('model:2','["hashing-512", "hashing-512"]');
INSERT INTO "facts" VALUES('model:3','["hashing-512", "hashing-512"]');
INSERT INTO "facts" VALUES('model:4','["hashing-512", "hashing-512"]');
INSERT INTO "facts" VALUES('making:1','[null, null, "verified"]');
INSERT INTO "facts" VALUES('making:2','[null, null, "verified"]');
INSERT INTO "facts" VALUES('making:3','[null, null, "verified"]');
INSERT INTO "facts" VALUES('making:4','[null, null, "verified"]');
INSERT INTO "facts" VALUES('publication_made','rig_84d42f59');
INSERT INTO "facts" VALUES('making_slot','rig_84d42f59');
INSERT INTO "facts" VALUES('slot','rig_84d42f59');
INSERT INTO "facts" VALUES('plugin','pgoutput');
INSERT INTO "facts" VALUES('publication','rig_84d42f59');
INSERT INTO "facts" VALUES('consistent_point','28449160');
INSERT INTO "facts" VALUES('confirmed','28459296');
INSERT INTO "facts" VALUES('proven','28459296');
INSERT INTO "facts" VALUES('written','28459296');
INSERT INTO "facts" VALUES('source_epoch','1');
INSERT INTO "facts" VALUES('system_identifier','7710625802432615115');
INSERT INTO "facts" VALUES('timeline','1');
INSERT INTO "facts" VALUES('database','shop');
INSERT INTO "facts" VALUES('barrier','passed');
INSERT INTO "facts" VALUES('links:1','[[], ["1:email"]]');
INSERT INTO "facts" VALUES('links:2','[[["lines_order_id_fkey", ["order_id"], 4, null]], []]');
INSERT INTO "facts" VALUES('links:3','[[["notes_after_fkey", ["after"], 3, null]], []]');
INSERT INTO "facts" VALUES('links:4','[[["orders_customer_fkey", ["customer"], 1, "1:email"]], []]');
INSERT INTO "facts" VALUES('shape:1','{"attributes": "34554ac25ea514f973e5129427198ae9", "epoch": 1, "membership": "763 16438", "oid": 16385, "parts": {}, "storage": 16385, "types": {}}');
INSERT INTO "facts" VALUES('shape:2','{"attributes": "88480de989072dd0bfb41451b7eb1262", "epoch": 1, "membership": "763 16439", "oid": 16409, "parts": {}, "storage": 16442, "types": {}}');
INSERT INTO "facts" VALUES('shape:3','{"attributes": "73d61cd8b96bdac6e462d2834bc06b6a", "epoch": 1, "membership": "763 16440", "oid": 16423, "parts": {}, "storage": 16423, "types": {}}');
INSERT INTO "facts" VALUES('shape:4','{"attributes": "b542f548e671b008b076ca91d86b4d23", "epoch": 1, "membership": "763 16441", "oid": 16396, "parts": {}, "storage": 16396, "types": {}}');
INSERT INTO "facts" VALUES('ended','in order');
INSERT INTO "facts" VALUES('covered','1795269985.7237408');
CREATE TABLE findings (
        id integer primary key not null, found double precision not null, label text not null, key text not null, kind text not null,
        side text not null, cause text, mended double precision, how text
    );
CREATE TABLE gauges (name text primary key not null, value text not null, at double precision not null);
CREATE TABLE memories (
        tbl integer not null, key text not null, shard smallint not null, version text not null, digest text not null,
        refs text not null, live boolean not null, xid bigint, refreshed bigint not null, epoch integer not null default 0, migration integer not null default 0, mark bigint not null default 0, primary key (tbl, key)
    ) without rowid
    ;
INSERT INTO "memories" VALUES(1,'1',0,'0001:0000000001b21988:00000000','69e3349c1f79bc0603cc2e267a28e2e9','7ebb3c7c2a87b1a2f8a7ed729ecb040d',1,NULL,0,2,1,5041618198482903138);
INSERT INTO "memories" VALUES(1,'10',0,'0001:0000000001b21fa0:00000002','713a2e2a94efefd158328c5582134ad5','7ebb3c7c2a87b1a2f8a7ed729ecb040d',1,NULL,0,2,1,-2856769219010417658);
INSERT INTO "memories" VALUES(1,'11',0,'0001:0000000001b21988:00000000','217a9a6c84ca2cf1c7c8044d195f9715','7ebb3c7c2a87b1a2f8a7ed729ecb040d',1,NULL,0,2,1,5808054413556041286);
INSERT INTO "memories" VALUES(1,'12',0,'0001:0000000001b21988:00000000','4832b12c6b8a5687aa4396a2bce795b7','7ebb3c7c2a87b1a2f8a7ed729ecb040d',1,NULL,0,2,1,6122688381281836612);
INSERT INTO "memories" VALUES(1,'13',0,'0001:0000000001b21988:00000000','6004952f6f76e4ee3685c8365976dae4','7ebb3c7c2a87b1a2f8a7ed729ecb040d',1,NULL,0,2,1,-9131801377492248151);
INSERT INTO "memories" VALUES(1,'14',0,'0001:0000000001b21988:00000000','c45877ec101ca0be0fe67cade39690ca','7ebb3c7c2a87b1a2f8a7ed729ecb040d',1,NULL,0,2,1,140537069730140013);
INSERT INTO "memories" VALUES(1,'15',0,'0001:0000000001b21fa0:00000003','ff15ed5258c2b8300010e0b6c7feb39a','7ebb3c7c2a87b1a2f8a7ed729ecb040d',1,NULL,0,2,1,7422840254415644502);
INSERT INTO "memories" VALUES(1,'16',0,'0001:0000000001b21988:00000000','dbfd4fb2f636a189e84be8002b1c3b14','7ebb3c7c2a87b1a2f8a7ed729ecb040d',1,NULL,0,2,1,-4879251982743865628);
INSERT INTO "memories" VALUES(1,'17',0,'0001:0000000001b21988:00000000','634a67fb43de2e78fb79d118786c7a11','7ebb3c7c2a87b1a2f8a7ed729ecb040d',1,NULL,0,2,1,5953900432247519621);
INSERT INTO "memories" VALUES(1,'18',0,'0001:0000000001b21988:00000000','eb9d1cf27a3f6dd06eb8c2ea6c449f14','7ebb3c7c2a87b1a2f8a7ed729ecb040d',1,NULL,0,2,1,-6052044437538405844);
INSERT INTO "memories" VALUES(1,'19',0,'0001:0000000001b21988:00000000','d747870651dc36e1ffe035c9cb8795ae','7ebb3c7c2a87b1a2f8a7ed729ecb040d',1,NULL,0,2,1,6600362676403208080);
INSERT INTO "memories" VALUES(1,'2',0,'0001:0000000001b21988:00000000','0252f8c08ffad5bb86e61c38e03dcf2b','7ebb3c7c2a87b1a2f8a7ed729ecb040d',1,NULL,0,2,1,-6144666287668517542);
INSERT INTO "memories" VALUES(1,'20',0,'0001:0000000001b21fa0:00000004','bf83fec234833d6e1f3d6824e1e35158','7ebb3c7c2a87b1a2f8a7ed729ecb040d',1,NULL,0,2,1,-8278302548089439139);
INSERT INTO "memories" VALUES(1,'21',0,'0001:0000000001b21988:00000000','4e5d4e19c259db604a9acc454ce0a7a9','7ebb3c7c2a87b1a2f8a7ed729ecb040d',1,NULL,0,2,1,8568697256575173065);
INSERT INTO "memories" VALUES(1,'22',0,'0001:0000000001b21988:00000000','0e77c82d602771f3e72a056e443e2772','7ebb3c7c2a87b1a2f8a7ed729ecb040d',1,NULL,0,2,1,8474354654255854595);
INSERT INTO "memories" VALUES(1,'23',0,'0001:0000000001b21988:00000000','070ff6aeef8ae41e03ed1a5139755fd2','7ebb3c7c2a87b1a2f8a7ed729ecb040d',1,NULL,0,2,1,-3546212742086831156);
INSERT INTO "memories" VALUES(1,'24',0,'0001:0000000001b21988:00000000','e9117179247581c8ff806c382df28399','7ebb3c7c2a87b1a2f8a7ed729ecb040d',1,NULL,0,2,1,-1538792455404890205);
INSERT INTO "memories" VALUES(1,'25',0,'0001:0000000001b21fa0:00000005','5d3c3f134bef347aa55818920e508665','7ebb3c7c2a87b1a2f8a7ed729ecb040d',1,NULL,0,2,1,7602295619216588873);
INSERT INTO "memories" VALUES(1,'26',0,'0001:0000000001b21988:00000000','e7b05c6395363bd5809ea89bbe121c47','7ebb3c7c2a87b1a2f8a7ed729ecb040d',1,NULL,0,2,1,-3526867037017996767);
INSERT INTO "memories" VALUES(1,'27',0,'0001:0000000001b21988:00000000','6fdb8df3df7a1ca4ade971ffccb3336d','7ebb3c7c2a87b1a2f8a7ed729ecb040d',1,NULL,0,2,1,8561122649529464954);
INSERT INTO "memories" VALUES(1,'28',0,'0001:0000000001b21988:00000000','35ebd62c458549270b3a963873b9bbff','7ebb3c7c2a87b1a2f8a7ed729ecb040d',1,NULL,0,2,1,-4074908314132193055);
INSERT INTO "memories" VALUES(1,'29',0,'0001:0000000001b21988:00000000','e574c0c045e9021331837b6316a94240','7ebb3c7c2a87b1a2f8a7ed729ecb040d',1,NULL,0,2,1,-4150238924500878627);
INSERT INTO "memories" VALUES(1,'3',0,'0001:0000000001b21d00:00000001','b11e4750a5d0421098f338a2f1e6aa0d','7ebb3c7c2a87b1a2f8a7ed729ecb040d',1,NULL,0,2,1,-2871461335779273876);
INSERT INTO "memories" VALUES(1,'30',0,'0001:0000000001b21fa0:00000006','b2a47b4da2c5b776c4609592189508c2','7ebb3c7c2a87b1a2f8a7ed729ecb040d',1,NULL,0,2,1,-214108250286268407);
INSERT INTO "memories" VALUES(1,'4',0,'0001:0000000001b21988:00000000','63ab515f6622c0cfea926d0c03fcc9eb','7ebb3c7c2a87b1a2f8a7ed729ecb040d',1,NULL,0,2,1,-8742484537926592808);
INSERT INTO "memories" VALUES(1,'5',0,'0001:0000000001b21fa0:00000001','d349f973cb090f6f1dd66964df049d77','7ebb3c7c2a87b1a2f8a7ed729ecb040d',1,NULL,0,2,1,3895285394137225713);
INSERT INTO "memories" VALUES(1,'6',0,'0001:0000000001b21988:00000000','44194cc36cf7112cc1575ae8b4daf060','7ebb3c7c2a87b1a2f8a7ed729ecb040d',1,NULL,0,2,1,-4653636119469748140);
INSERT INTO "memories" VALUES(1,'7',0,'0001:0000000001b21988:00000000','2da983540f58ccf4128b1ca7e21a9a1b','7ebb3c7c2a87b1a2f8a7ed729ecb040d',1,NULL,0,2,1,4852681045878250353);
INSERT INTO "memories" VALUES(1,'8',0,'0001:0000000001b21988:00000000','dad4dd9e4c0480c6d0246a5b6175f64a','7ebb3c7c2a87b1a2f8a7ed729ecb040d',1,NULL,0,2,1,-6762958623437453681);
INSERT INTO "memories" VALUES(1,'9',0,'0001:0000000001b21988:00000000','df2f4939982e1bc34b6687a60a258c70','7ebb3c7c2a87b1a2f8a7ed729ecb040d',1,NULL,0,2,1,-5608553772029811841);
INSERT INTO "memories" VALUES(2,'10_1',0,'0001:0000000001b23ee0:0000000a','ce63c6bab74b80b7c69c35f4d406c5cd','b1527355a3feaabf61ff6d1b85a48ab5',1,NULL,0,2,1,4037271603842723588);
INSERT INTO "memories" VALUES(2,'10_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'11_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'11_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'12_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'12_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'13_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'13_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'14_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'14_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'15_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'15_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'16_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'16_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'17_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'17_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'18_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'18_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'19_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'19_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'1_1',0,'0001:0000000001b23ee0:00000001','32e7f2f566ae7320e4d4e411eefdb94e','713c6d35c855ce3d9d0da67c561114e0',1,NULL,0,2,1,4706196239042089581);
INSERT INTO "memories" VALUES(2,'1_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'20_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'20_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'21_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'21_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'22_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'22_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'23_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'23_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'24_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'24_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'25_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'25_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'26_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'26_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'27_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'27_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'28_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'28_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'29_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'29_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'2_1',0,'0001:0000000001b23ee0:00000002','74fd5f7204f777ea002e36c36e46757f','29a614e70dce41205b2a33609449ff3d',1,NULL,0,2,1,2599724154480754659);
INSERT INTO "memories" VALUES(2,'2_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'30_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'30_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'31_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'31_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'32_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'32_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'33_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'33_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'34_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'34_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'35_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'35_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'36_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'36_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'37_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'37_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'38_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'38_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'39_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'39_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'3_1',0,'0001:0000000001b23ee0:00000003','628e784a73a85a700d082681acace05b','6a68387e72cd91ef16a1b72f41441207',1,NULL,0,2,1,-4331224438902038212);
INSERT INTO "memories" VALUES(2,'3_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'40_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'40_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'41_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'41_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'42_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'42_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'43_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'43_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'44_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'44_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'45_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'45_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'46_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'46_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'47_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'47_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'48_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'48_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'49_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'49_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'4_1',0,'0001:0000000001b23ee0:00000004','77de577b35af03a187919dd4fc877814','d7f24cdd4517737c45f00ebcae05d32f',1,NULL,0,2,1,-4347326496869724185);
INSERT INTO "memories" VALUES(2,'4_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'50_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'50_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'51_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'51_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'52_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'52_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'53_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'53_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'54_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'54_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'55_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'55_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'56_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'56_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'57_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'57_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'58_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'58_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'59_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'59_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'5_1',0,'0001:0000000001b23ee0:00000005','0bc248c5be4bc6c513aa94b626232adb','b91b31c92c4e0079c80c336c353b4ae5',1,NULL,0,2,1,7465209080923032673);
INSERT INTO "memories" VALUES(2,'5_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'60_1',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'60_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'6_1',0,'0001:0000000001b23ee0:00000006','87ec71204abc0ad1c8afe893f585c7e3','c8e38788f3db71c2592181c4eb82d820',1,NULL,0,2,1,844530611827268369);
INSERT INTO "memories" VALUES(2,'6_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'7_1',0,'0001:0000000001b23ee0:00000007','56c6e4eb4d6d375483a9d8721e599c1a','dc81e425b830c7eedcccf40c507a2d95',1,NULL,0,2,1,9213692889369176923);
INSERT INTO "memories" VALUES(2,'7_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'8_1',0,'0001:0000000001b23ee0:00000008','50c7b59d66bcc57fc746461266721ac6','f150f4df34af856411d07948d9b6223f',1,NULL,0,2,1,5401166162208071877);
INSERT INTO "memories" VALUES(2,'8_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(2,'9_1',0,'0001:0000000001b23ee0:00000009','f2415918e044d363aceff4974241a998','17c8ab9bc3b81c190bd49eefa28bb6fa',1,NULL,0,2,1,579836075853295127);
INSERT INTO "memories" VALUES(2,'9_2',0,'0001:0000000001b23590:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(3,'1',0,'0001:0000000001b21988:00000000','ec6e815c9ec80db567ba8601d135347f','7ebb3c7c2a87b1a2f8a7ed729ecb040d',1,NULL,0,2,1,-1738766454447164087);
INSERT INTO "memories" VALUES(3,'10',0,'0001:0000000001b21988:00000000','6ff9f781e783e6716d6e937dd6a842ae','4aa5bc8d7a2b7138ff7df0bdd22ef6a1',1,NULL,0,2,1,-6894116026841895372);
INSERT INTO "memories" VALUES(3,'1001',0,'0001:0000000001b229d8:00000001','a87d793c1935029464a950b646e4ea2a','14dad114c650dbe27381d4db2060a3b4',1,772,0,2,1,2482243161854341207);
INSERT INTO "memories" VALUES(3,'11',0,'0001:0000000001b21988:00000000','443e1e2ccb452b068789d0ef07f6df58','4aa5bc8d7a2b7138ff7df0bdd22ef6a1',1,NULL,0,2,1,-352204050892552591);
INSERT INTO "memories" VALUES(3,'12',0,'0001:0000000001b21988:00000000','ea2c49d7b8511dc57125bea9b015a03d','0987ee872477c22dd2c982f73734c789',1,NULL,0,2,1,1708583489770430552);
INSERT INTO "memories" VALUES(3,'13',0,'0001:0000000001b21988:00000000','710db5c5375323e36f65a9668ede840d','0987ee872477c22dd2c982f73734c789',1,NULL,0,2,1,6233115817872519361);
INSERT INTO "memories" VALUES(3,'14',0,'0001:0000000001b21988:00000000','cf2867f4ccaface927b090f8a67db7fe','aecccedc44ea034218d6f48d3b7e240d',1,NULL,0,2,1,-5958261173414090371);
INSERT INTO "memories" VALUES(3,'15',0,'0001:0000000001b21988:00000000','d29f3a6b4304f0b52b4749c9842fb5cb','aecccedc44ea034218d6f48d3b7e240d',1,NULL,0,2,1,7150539282043149686);
INSERT INTO "memories" VALUES(3,'16',0,'0001:0000000001b21988:00000000','7687287e66958df0ef1b24bd962f8102','8194152b5623cbdd74cd89a9d72cd01d',1,NULL,0,2,1,-5604548026163667395);
INSERT INTO "memories" VALUES(3,'17',0,'0001:0000000001b21988:00000000','e1bb2f764bb0f02d9a00c18ffb2d89f2','8194152b5623cbdd74cd89a9d72cd01d',1,NULL,0,2,1,-9035237726768729774);
INSERT INTO "memories" VALUES(3,'18',0,'0001:0000000001b21988:00000000','267795e6a0043f0355f61f42a42d15f1','d84e8eddcf3b770ed048297e5eefff47',1,NULL,0,2,1,5903758040415068905);
INSERT INTO "memories" VALUES(3,'19',0,'0001:0000000001b21988:00000000','c4a0246a8b56242ecdcd0cf5f42eb57c','d84e8eddcf3b770ed048297e5eefff47',1,NULL,0,2,1,4466056141375079845);
INSERT INTO "memories" VALUES(3,'2',0,'0001:0000000001b21988:00000000','5bdc0ca2e19d47d9bd75bf6aade152e6','4fa55fe9a2361e730109f8764c1ab351',1,NULL,0,2,1,-8025486180944642628);
INSERT INTO "memories" VALUES(3,'20',0,'0001:0000000001b21988:00000000','44c4ccfffa1483d29d64c7b52c56333b','295fc00bc93c023bb4415210df7e4461',1,NULL,0,2,1,8554521609314816816);
INSERT INTO "memories" VALUES(3,'21',0,'0001:0000000001b21988:00000000','bbd2fc0542fb0d6b618bcfb87c50e3f5','295fc00bc93c023bb4415210df7e4461',1,NULL,0,2,1,4506504691954424164);
INSERT INTO "memories" VALUES(3,'22',0,'0001:0000000001b21988:00000000','e31e8f68e200c8ab1dcf183db19aaef9','26b600544e6d342f3b6bc0110366af4a',1,NULL,0,2,1,3612209971401023146);
INSERT INTO "memories" VALUES(3,'23',0,'0001:0000000001b21988:00000000','189ba551bc8342cdf0254e9445cdbf7b','26b600544e6d342f3b6bc0110366af4a',1,NULL,0,2,1,2229364428077794257);
INSERT INTO "memories" VALUES(3,'24',0,'0001:0000000001b21988:00000000','12d62d4ce2199035ebe9c999a7b1d06b','14dad114c650dbe27381d4db2060a3b4',1,NULL,0,2,1,-1033106688518141605);
INSERT INTO "memories" VALUES(3,'25',0,'0001:0000000001b229d8:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(3,'3',0,'0001:0000000001b21988:00000000','1bb1afd866079ea43628cb2dcfc6dfc0','4fa55fe9a2361e730109f8764c1ab351',1,NULL,0,2,1,-6930548934220822798);
INSERT INTO "memories" VALUES(3,'4',0,'0001:0000000001b21988:00000000','787e81d66b252a9dfe1f5c2f9cbdf7fa','57185102b095f12e3bd1028c6e5bddbb',1,NULL,0,2,1,3913468091441106658);
INSERT INTO "memories" VALUES(3,'5',0,'0001:0000000001b21988:00000000','80f9be9f5860dcdfe082901c3c650a0f','57185102b095f12e3bd1028c6e5bddbb',1,NULL,0,2,1,-8742113374421020062);
INSERT INTO "memories" VALUES(3,'6',0,'0001:0000000001b21988:00000000','85733e076304053ecf921de150fd0efa','516eb6da9a10cccf8e4b412e06f30097',1,NULL,0,2,1,1897428022518443488);
INSERT INTO "memories" VALUES(3,'7',0,'0001:0000000001b21988:00000000','3613f01d9bcc2d100736c21e50a8fcf0','516eb6da9a10cccf8e4b412e06f30097',1,NULL,0,2,1,-8085299795266533816);
INSERT INTO "memories" VALUES(3,'8',0,'0001:0000000001b21988:00000000','bb4be3306de5034d80f084373cc24e27','e16f9dbcff05110cf0c1432a26bb9d7b',1,NULL,0,2,1,2090312439324390192);
INSERT INTO "memories" VALUES(3,'9',0,'0001:0000000001b21988:00000000','b403d96dfd8066625a3584620cdababd','e16f9dbcff05110cf0c1432a26bb9d7b',1,NULL,0,1,1,-8239252533381060330);
INSERT INTO "memories" VALUES(4,'1',0,'0001:0000000001b21988:00000000','f55e88a88d59768d0c2165d8105f4235','a6d6b2e6df7e16131431dacca5da0a70',1,NULL,28449320,2,1,1786468629517023290);
INSERT INTO "memories" VALUES(4,'10',1,'0001:0000000001b21988:00000000','9a2209bfd858f9c7e5c3f57630492df2','4f05d2c403a056dfc7e34d7cdeef9222',1,NULL,28449320,2,1,1210353352035518655);
INSERT INTO "memories" VALUES(4,'11',1,'0001:0000000001b21988:00000000','e6c679b5eca048b8294549f609709d9d','fa74c94a3fb6b845a3bc7d1b4695d376',1,NULL,28449320,2,1,1398219650895586350);
INSERT INTO "memories" VALUES(4,'12',1,'0001:0000000001b21988:00000000','a3d237bf9e0227629842caf2e153f16e','2cfc336d0698fbf98b84b355c796f6f6',1,NULL,28449320,2,1,-1181976325020087572);
INSERT INTO "memories" VALUES(4,'13',1,'0001:0000000001b21988:00000000','f77917217b04a30db2b06429bc226feb','df0724925113523562557c09e9c2f41a',1,NULL,28449320,2,1,6590079292650446342);
INSERT INTO "memories" VALUES(4,'14',0,'0001:0000000001b21988:00000000','5f4773b6803bec75ada2a2777f5d7c1b','1de06ba93e95f01944862c60a8296dfa',1,NULL,28449320,2,1,4308071009443641905);
INSERT INTO "memories" VALUES(4,'15',0,'0001:0000000001b21988:00000000','0871a590f7531f0303abecf32ebf8d20','f654a3a67cb9d0b9d09b0e47ee078f1e',1,NULL,28449320,2,1,-2427096552265421337);
INSERT INTO "memories" VALUES(4,'16',0,'0001:0000000001b21988:00000000','11eb531e536a7a9ff161d8d636d1d656','fcaada9b34adad26d17fdb13f09e7531',1,NULL,28449320,2,1,9044241702421905534);
INSERT INTO "memories" VALUES(4,'17',0,'0001:0000000001b21988:00000000','a5d180fbdd6940956e5ee84d5b40b735','333873cdbfb2e503fae0d1091eb55127',1,NULL,28449320,2,1,-7862122722684512994);
INSERT INTO "memories" VALUES(4,'18',1,'0001:0000000001b21988:00000000','50c21a0c1e5e86d324e1618c57c9aef7','af06ca0b40476ff17beb6eab0387f12a',1,NULL,28449320,2,1,5476858738053832639);
INSERT INTO "memories" VALUES(4,'19',1,'0001:0000000001b21988:00000000','9208dce5e483dd22810f4aa1fb4f90c4','73271d155c7667af013a6d1b94413d48',1,NULL,28449320,2,1,-7582019543897466719);
INSERT INTO "memories" VALUES(4,'2',0,'0001:0000000001b21d00:00000002','bd90c0b7c980013deb52a44b6928eb27','fdd9c8a90982d011ed8768c483ad558c',1,NULL,28458768,2,1,-3530993120600021844);
INSERT INTO "memories" VALUES(4,'20',0,'0001:0000000001b22908:00000001','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(4,'21',0,'0001:0000000001b22908:00000002','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(4,'22',0,'0001:0000000001b22908:00000003','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(4,'23',0,'0001:0000000001b22908:00000004','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(4,'24',1,'0001:0000000001b22908:00000005','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(4,'25',1,'0001:0000000001b22908:00000006','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(4,'26',1,'0001:0000000001b22908:00000007','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(4,'27',1,'0001:0000000001b22908:00000008','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(4,'28',0,'0001:0000000001b22908:00000009','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(4,'29',0,'0001:0000000001b22908:0000000a','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(4,'3',0,'0001:0000000001b21988:00000000','07b866cbb7a4096fe55eaac7a9050a8d','174c7db6069a90d5b4e6731dabe3bb07',1,NULL,28449320,2,1,3912682172141754929);
INSERT INTO "memories" VALUES(4,'30',1,'0001:0000000001b22908:0000000b','','',0,NULL,0,0,1,0);
INSERT INTO "memories" VALUES(4,'31',1,'0001:0000000001b21988:00000000','27684022fd102475b039d69fa17c69d8','a6d6b2e6df7e16131431dacca5da0a70',1,NULL,28449320,2,1,6447241078434451494);
INSERT INTO "memories" VALUES(4,'32',1,'0001:0000000001b21d00:00000003','81b22f324c87e6d4fb43531dea254dc6','fdd9c8a90982d011ed8768c483ad558c',1,NULL,28458768,2,1,4083833017125300579);
INSERT INTO "memories" VALUES(4,'33',1,'0001:0000000001b21988:00000000','e9c0b28282da0a0a1e7807af0c744064','174c7db6069a90d5b4e6731dabe3bb07',1,NULL,28449320,2,1,-6492799371973665321);
INSERT INTO "memories" VALUES(4,'34',0,'0001:0000000001b21988:00000000','1fb3fc21d10f8a4a9912b38a632387a6','be1c271e48ac1b4f90e317dbdb777466',1,NULL,28449320,2,1,3918891848602618544);
INSERT INTO "memories" VALUES(4,'35',0,'0001:0000000001b21988:00000000','36c425b02d29a641597aa53aeb218247','123753f932b8d9189ac8515195dc3554',1,NULL,28449320,2,1,1745149059935684664);
INSERT INTO "memories" VALUES(4,'36',0,'0001:0000000001b21988:00000000','dbe6233f438c0e2d79c27a31e5329ca9','793b9020f87c8037d04267c77a9428d3',1,NULL,28449320,2,1,-3618375987755813577);
INSERT INTO "memories" VALUES(4,'37',0,'0001:0000000001b21988:00000000','1a9a91286e0d971826cf8b97d8a8c509','cc83f6d27a1da680ca3f82b0f18a5339',1,NULL,28449320,2,1,1995980499893004075);
INSERT INTO "memories" VALUES(4,'38',1,'0001:0000000001b21988:00000000','e49675ae01a05fbb4aa3f1592d8498b6','ed2d241de93841e990eeb62700c3b81b',1,NULL,28449320,2,1,-8074542229038023664);
INSERT INTO "memories" VALUES(4,'39',1,'0001:0000000001b21988:00000000','657f36180a40ae2a20cd5a6bd25f5127','2b359100e3ff69af961ca8e56c58fa50',1,NULL,28449320,2,1,-8097751738523744432);
INSERT INTO "memories" VALUES(4,'4',1,'0001:0000000001b21988:00000000','fb46e4eff37f54e8e2c9e2b15a4dc79b','be1c271e48ac1b4f90e317dbdb777466',1,NULL,28449320,2,1,7528883922832018043);
INSERT INTO "memories" VALUES(4,'40',0,'0001:0000000001b21988:00000000','a0f6acb3a8101e86b30f586af02e211b','4f05d2c403a056dfc7e34d7cdeef9222',1,NULL,28449320,2,1,3282462236878272021);
INSERT INTO "memories" VALUES(4,'41',0,'0001:0000000001b21988:00000000','109e11f4b967ce0f82d0926e5d2046d4','fa74c94a3fb6b845a3bc7d1b4695d376',1,NULL,28449320,2,1,8142237593931618399);
INSERT INTO "memories" VALUES(4,'42',0,'0001:0000000001b21988:00000000','ac2c928a29224bdc1036186a03de601d','2cfc336d0698fbf98b84b355c796f6f6',1,NULL,28449320,2,1,1402598742722509134);
INSERT INTO "memories" VALUES(4,'43',0,'0001:0000000001b21988:00000000','975ada2226c94313b24a8f4f50b148e4','df0724925113523562557c09e9c2f41a',1,NULL,28449320,2,1,-5059303733010987722);
INSERT INTO "memories" VALUES(4,'44',1,'0001:0000000001b21988:00000000','154303114d5a9c2d2367ef9f6cfa622f','1de06ba93e95f01944862c60a8296dfa',1,NULL,28449320,2,1,8762647899434870442);
INSERT INTO "memories" VALUES(4,'45',1,'0001:0000000001b21988:00000000','40ff2e728949e8641eacd08d80c82a30','f654a3a67cb9d0b9d09b0e47ee078f1e',1,NULL,28449320,2,1,5603020557546506786);
INSERT INTO "memories" VALUES(4,'46',1,'0001:0000000001b21988:00000000','061f35f1a47d0a08a4dd55bfa783ee19','fcaada9b34adad26d17fdb13f09e7531',1,NULL,28449320,2,1,-339049465109597100);
INSERT INTO "memories" VALUES(4,'47',1,'0001:0000000001b21988:00000000','874018e88311d20a6181c87377dc4f42','333873cdbfb2e503fae0d1091eb55127',1,NULL,28449320,2,1,6866524790824567477);
INSERT INTO "memories" VALUES(4,'48',0,'0001:0000000001b21988:00000000','6ad3ccf7c222046fc54da4e2fd554789','af06ca0b40476ff17beb6eab0387f12a',1,NULL,28449320,2,1,-7125850883340417445);
INSERT INTO "memories" VALUES(4,'49',0,'0001:0000000001b21988:00000000','d722542ffb43a2a9918b662034e14cc2','73271d155c7667af013a6d1b94413d48',1,NULL,28449320,2,1,3004636791263936718);
INSERT INTO "memories" VALUES(4,'5',1,'0001:0000000001b21988:00000000','157fda339dac574ca33a2d926759f962','123753f932b8d9189ac8515195dc3554',1,NULL,28449320,2,1,394641563754411915);
INSERT INTO "memories" VALUES(4,'50',1,'0001:0000000001b21988:00000000','ca6f9bc5934b39f89b8f52ef7c032be9','7006964b3a9ec92ca21b56305bc94250',1,NULL,28449320,2,1,3369079145434633346);
INSERT INTO "memories" VALUES(4,'51',1,'0001:0000000001b21988:00000000','f5ae6c3d5559fb81273f3798d513857e','c84f2361afd4d5ee83357ce67a22282c',1,NULL,28449320,2,1,-7268363594480857825);
INSERT INTO "memories" VALUES(4,'52',1,'0001:0000000001b21988:00000000','0141711712821b1345784034ff4ab900','7b0edaa954f25356785bf3758ff857a4',1,NULL,28449320,2,1,-3914918263555771576);
INSERT INTO "memories" VALUES(4,'53',1,'0001:0000000001b21988:00000000','151c2dcae9db971aea5b1948b4159edd','78e3b7e9d3996c3d9429db4421d476ad',1,NULL,28449320,2,1,-740776378376491636);
INSERT INTO "memories" VALUES(4,'54',0,'0001:0000000001b21988:00000000','d387dbf1b3bbd5e17be4f51b3c5ca379','450b832c1596756541ffba262367baf4',1,NULL,28449320,2,1,357611414100089724);
INSERT INTO "memories" VALUES(4,'55',0,'0001:0000000001b21988:00000000','40f57eb84e0902a19f527187f2fa5528','ec54d7b3130237ace36e63965b5af1b2',1,NULL,28449320,2,1,-1290109881042323689);
INSERT INTO "memories" VALUES(4,'56',0,'0001:0000000001b21988:00000000','f8b90f41976cbaef4e183658d1e9d999','806f4787edcf8dc64fcbb1e1eef3c247',1,NULL,28449320,2,1,4557856263277779090);
INSERT INTO "memories" VALUES(4,'57',0,'0001:0000000001b21988:00000000','51efa7368dabae76fb503c7046f74b20','601abb7ec8464915c22b3173fcb3a826',1,NULL,28449320,2,1,-5535267275398622696);
INSERT INTO "memories" VALUES(4,'58',1,'0001:0000000001b21988:00000000','89f720f32a8163dd273ccb9b1a79b456','d2cb529096dd93f1d8538a9ae861024e',1,NULL,28449320,2,1,-7128030904773055131);
INSERT INTO "memories" VALUES(4,'59',1,'0001:0000000001b21988:00000000','050ba2147351576bad4100b1ad1a8fbf','805bf34708b929599a4c796437a210d5',1,NULL,28449320,2,1,-1889694409559518519);
INSERT INTO "memories" VALUES(4,'6',1,'0001:0000000001b21988:00000000','648c245f62b19d74199205ce518434f8','793b9020f87c8037d04267c77a9428d3',1,NULL,28449320,2,1,7968068411150639778);
INSERT INTO "memories" VALUES(4,'60',0,'0001:0000000001b21988:00000000','cd5439bbe2d236754ae833d3211af946','c824d818ccdb2ee6a330601e7a678a0d',1,NULL,28449320,2,1,-8616437829820741161);
INSERT INTO "memories" VALUES(4,'61',0,'0001:0000000001b21988:00000000','fcef5ca86aa7b18cb48ea2678ba7d9ff','e4a4998b8096ca01fd4a3f6d8aa3b19e',1,NULL,0,1,1,-921031623261133764);
INSERT INTO "memories" VALUES(4,'7',1,'0001:0000000001b21988:00000000','002c93eef303a331074573c6ae35d99c','cc83f6d27a1da680ca3f82b0f18a5339',1,NULL,28449320,2,1,2206852235051354223);
INSERT INTO "memories" VALUES(4,'8',0,'0001:0000000001b21988:00000000','5a923510349fa81480fbf4fa4e112d9f','ed2d241de93841e990eeb62700c3b81b',1,NULL,28449320,2,1,8514366661912376445);
INSERT INTO "memories" VALUES(4,'9',0,'0001:0000000001b21988:00000000','555ee1c3a665570c03eaa3a0eafb5012','2b359100e3ff69af961ca8e56c58fa50',1,NULL,28449320,2,1,4795338031882056275);
CREATE TABLE migrations (
        number integer primary key not null, id text not null unique, kind text not null, began double precision not null,
        ended double precision, detail text not null, result text
    );
INSERT INTO "migrations" VALUES(1,'bf447c9085b1','run',1.79526997895340180398e+09,1.79526998657741498942e+09,'{"source": "user=postgres dbname=shop host=127.0.0.1 port=59039", "target": "http://127.0.0.1:33169", "tables": ["public.customers", "public.lines", "public.notes", "public.orders"]}',NULL);
CREATE TABLE mismatches (
        label text not null, key text not null, columns text not null, first double precision not null,
        last double precision not null, times integer not null, primary key (label, key)
    );
CREATE TABLE parked (
        tbl integer not null, key text not null, reason text not null, detail text not null, version text not null,
        xid bigint, since double precision not null, attempts integer not null, retry_at double precision,
        dropped boolean not null, primary key (tbl, key)
    );
INSERT INTO "parked" VALUES(1,'31','too_large','the row has 4480452 bytes; one message to Engram holds 4186112','0001:0000000001b21988:00000000',NULL,1.79526998011732983589e+09,0,NULL,0);
CREATE TABLE readings (
        label text not null, minute bigint not null, what text not null, count bigint not null,
        primary key (label, minute, what)
    ) without rowid
    ;
CREATE TABLE reconciliations (
        id integer primary key not null, asked double precision not null, who text not null, detail text not null, began double precision,
        seen double precision, ended double precision, position text, result text
    );
CREATE TABLE requests (
        id integer primary key not null, verb text not null, tbl integer not null, key text not null, made double precision not null
    );
CREATE TABLE routes (
        label text primary key not null, mode text not null, share smallint not null, since double precision not null
    );
CREATE TABLE spaces (name text primary key not null, pristine boolean not null, repaired text not null, rewritten integer not null default 0);
INSERT INTO "spaces" VALUES('customers',1,'2026-11-21T14:06:24.162688249Z',1);
INSERT INTO "spaces" VALUES('lines',1,'2026-11-21T14:06:24.162688249Z',1);
INSERT INTO "spaces" VALUES('notes',1,'2026-11-21T14:06:24.162688249Z',1);
INSERT INTO "spaces" VALUES('orders-0',1,'2026-11-21T14:06:24.162688249Z',1);
INSERT INTO "spaces" VALUES('orders-1',1,'2026-11-21T14:06:24.162688249Z',2);
CREATE TABLE "tables" (
        number integer primary key not null, label text not null, role text not null, origin integer not null,
        spaces text not null, columns text not null, state text not null, reason text, floor text not null,
        reached bigint not null, rows_estimated bigint not null
    );
INSERT INTO "tables" VALUES(1,'public.customers','serving',1,'["customers"]','[{"name": "id", "number": 1, "type": 23, "declared": "integer", "key": 0}, {"name": "email", "number": 2, "type": 25, "declared": "text", "key": null}, {"name": "name", "number": 3, "type": 25, "declared": "text", "key": null}]','loaded',NULL,'',28449320,-1);
INSERT INTO "tables" VALUES(2,'public.lines','serving',2,'["lines"]','[{"name": "order_id", "number": 1, "type": 23, "declared": "integer", "key": 0}, {"name": "number", "number": 2, "type": 23, "declared": "integer", "key": 1}, {"name": "item", "number": 3, "type": 25, "declared": "text", "key": null}]','loaded',NULL,'0001:0000000001b23590:00000001',28449320,-1);
INSERT INTO "tables" VALUES(3,'public.notes','serving',3,'["notes"]','[{"name": "id", "number": 1, "type": 23, "declared": "integer", "key": 0}, {"name": "after", "number": 2, "type": 23, "declared": "integer", "key": null}, {"name": "body", "number": 3, "type": 25, "declared": "text", "key": null}]','loaded',NULL,'',28449320,-1);
INSERT INTO "tables" VALUES(4,'public.orders','serving',4,'["orders-0", "orders-1"]','[{"name": "id", "number": 1, "type": 23, "declared": "integer", "key": 0}, {"name": "customer", "number": 2, "type": 25, "declared": "text", "key": null}, {"name": "note", "number": 3, "type": 25, "declared": "text", "key": null}]','loaded',NULL,'',28449208,-1);
CREATE TABLE validations (
        id integer primary key not null, asked double precision not null, who text not null, detail text not null, began double precision,
        ended double precision, result text
    );
CREATE TABLE writers (token text primary key not null, steps bigint not null, about text not null);
CREATE INDEX edges_in on edges (parent, parent_key);
CREATE INDEX edges_lookup on edges (lookup, lookup_value) where lookup is not null;
CREATE INDEX alternates_value on alternates (lookup, value);
CREATE UNIQUE INDEX tables_serving on tables (label) where role = 'serving';
CREATE INDEX findings_open on findings (label, key) where mended is null;
COMMIT;
