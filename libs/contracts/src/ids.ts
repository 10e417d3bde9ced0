// Ids are UUIDv7 and branded per noun: the compiler refuses a host's id where a VM's is wanted.
import { z } from 'zod';

const pattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
/** The return type is written out: inferred, the brand of a generic is lost. */
const id = <const B extends string>(brand: B): z.core.$ZodBranded<z.ZodString, B> & z.ZodString =>
  z.string().regex(pattern, 'must be a UUID in lower case').meta({ id: brand, format: 'uuid' }) as z.core.$ZodBranded<z.ZodString, B> & z.ZodString;

export const UserId = id('UserId');
export const RoleId = id('RoleId');
export const GrantId = id('GrantId');
export const TokenId = id('TokenId');
export const BusCredentialId = id('BusCredentialId');
export const SiteId = id('SiteId');
export const ClusterId = id('ClusterId');
export const HostId = id('HostId');
export const FolderId = id('FolderId');
export const VmId = id('VmId');
export const NicId = id('NicId');
export const DiskId = id('DiskId');
export const DatastoreId = id('DatastoreId');
export const VolumeId = id('VolumeId');
export const UploadId = id('UploadId');
export const SwitchId = id('SwitchId');
export const PortGroupId = id('PortGroupId');
export const SubnetId = id('SubnetId');
export const PortId = id('PortId');
export const ImageId = id('ImageId');
export const TemplateId = id('TemplateId');
export const ClaimId = id('ClaimId');
export const TaskId = id('TaskId');
export const BusCommandId = id('BusCommandId');
export const EventFeedId = id('EventFeedId');
export const WebhookId = id('WebhookId');
export const WebhookDeliveryId = id('WebhookDeliveryId');
export const FindingId = id('FindingId');

export type UserId = z.infer<typeof UserId>;
export type RoleId = z.infer<typeof RoleId>;
export type GrantId = z.infer<typeof GrantId>;
export type TokenId = z.infer<typeof TokenId>;
export type BusCredentialId = z.infer<typeof BusCredentialId>;
export type SiteId = z.infer<typeof SiteId>;
export type ClusterId = z.infer<typeof ClusterId>;
export type HostId = z.infer<typeof HostId>;
export type FolderId = z.infer<typeof FolderId>;
export type VmId = z.infer<typeof VmId>;
export type NicId = z.infer<typeof NicId>;
export type DiskId = z.infer<typeof DiskId>;
export type DatastoreId = z.infer<typeof DatastoreId>;
export type VolumeId = z.infer<typeof VolumeId>;
export type UploadId = z.infer<typeof UploadId>;
export type SwitchId = z.infer<typeof SwitchId>;
export type PortGroupId = z.infer<typeof PortGroupId>;
export type SubnetId = z.infer<typeof SubnetId>;
export type PortId = z.infer<typeof PortId>;
export type ImageId = z.infer<typeof ImageId>;
export type TemplateId = z.infer<typeof TemplateId>;
export type ClaimId = z.infer<typeof ClaimId>;
export type TaskId = z.infer<typeof TaskId>;
export type BusCommandId = z.infer<typeof BusCommandId>;
export type EventFeedId = z.infer<typeof EventFeedId>;
export type WebhookId = z.infer<typeof WebhookId>;
export type WebhookDeliveryId = z.infer<typeof WebhookDeliveryId>;
export type FindingId = z.infer<typeof FindingId>;
