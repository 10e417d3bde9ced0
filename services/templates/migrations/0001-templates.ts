// The tables of templates: images and the templates made from them.
import { defineMigration } from '#database';

const id = 'char(36) CHARACTER SET ascii COLLATE ascii_bin';
const word = (length: number): string => `varchar(${length}) CHARACTER SET ascii COLLATE ascii_bin`;
const stamps = `number int unsigned NOT NULL UNIQUE, version int unsigned NOT NULL DEFAULT 1,
  created_at datetime(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3), updated_at datetime(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3)`;
const options = 'ENGINE=InnoDB DEFAULT CHARSET=utf8mb4';

export const templatesMigrations = [
  defineMigration('templates.0001-tables', [
    `CREATE TABLE image (
      id ${id} NOT NULL PRIMARY KEY, name varchar(63) NOT NULL, description varchar(1000) NOT NULL, state ${word(20)} NOT NULL, format ${word(10)} NOT NULL,
      size_bytes bigint unsigned NULL, virtual_bytes bigint unsigned NULL, sha256 ${word(64)} NULL, datastore_id ${id} NOT NULL, volume_id ${id} NULL,
      upload_id ${id} NULL, reason varchar(1000) NULL, owner_id ${id} NULL, folder_id ${id} NULL, ${stamps},
      UNIQUE KEY image_name (name), KEY image_owner (owner_id), KEY image_created (created_at, id)) ${options}`,
    `CREATE TABLE template (
      id ${id} NOT NULL PRIMARY KEY, name varchar(63) NOT NULL, description varchar(1000) NOT NULL, labels json NOT NULL, image_id ${id} NOT NULL, volume_id ${id} NOT NULL,
      disk_bytes bigint unsigned NOT NULL, hardware json NOT NULL, owner_id ${id} NULL, folder_id ${id} NULL, ${stamps},
      UNIQUE KEY template_name (name), KEY template_image (image_id), KEY template_owner (owner_id), KEY template_created (created_at, id),
      CONSTRAINT template_from_image FOREIGN KEY (image_id) REFERENCES image (id)) ${options}`,
  ]),
];
