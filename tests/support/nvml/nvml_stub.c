/* A stand-in for libnvidia-ml.so.1: answers what a control file says, and logs every call.
 *
 * NVML_STUB_CONTROL names a text file of lines "key value", read again at every call, so that a test can change it in
 * mid-run. "init", "count" and "shutdown" are about the library; "N.name", "N.uuid", "N.sm", "N.memory_used",
 * "N.memory_total", "N.power", "N.pcie_tx" and "N.pcie_rx" about device N; the same key with ".error" makes that call fail
 * with NVML's error code, "N.error" makes every call on the device fail. Devices from "count" on are instances of a divided
 * GPU: they are found by UUID alone, and "N.parent" is the device they belong to. NVML_STUB_LOG names the log.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUCCESS 0
#define INVALID_ARGUMENT 2
#define NOT_FOUND 6
#define MAX_DEVICES 16

typedef struct { int number; } device_t;
static device_t devices[MAX_DEVICES];

static int lookup(const char *key, char *value, size_t size) {
  const char *path = getenv("NVML_STUB_CONTROL");
  FILE *file = path ? fopen(path, "r") : NULL;
  char line[512];
  size_t length = strlen(key);
  int found = 0;
  if (!file) return 0;
  while (!found && fgets(line, sizeof line, file)) {
    line[strcspn(line, "\n")] = 0;
    if (strncmp(line, key, length) == 0 && line[length] == ' ') {
      snprintf(value, size, "%s", line + length + 1);
      found = 1;
    }
  }
  fclose(file);
  return found;
}

static unsigned long long number(const char *key) {
  char value[256];
  return lookup(key, value, sizeof value) ? strtoull(value, NULL, 10) : 0;
}

static void log_call(const char *call, int device) {
  const char *path = getenv("NVML_STUB_LOG");
  FILE *file = path ? fopen(path, "a") : NULL;
  if (!file) return;
  if (device < 0) fprintf(file, "%s\n", call);
  else fprintf(file, "%s %d\n", call, device);
  fclose(file);
}

static void key_of(char *key, size_t size, const device_t *device, const char *what) {
  snprintf(key, size, "%d.%s", device->number, what);
}

/* The planted error of one call on one device, 0 if it succeeds. */
static int failure(const device_t *device, const char *what) {
  char key[64], with_error[80];
  key_of(key, sizeof key, device, "error");
  if (number(key)) return (int)number(key);
  key_of(key, sizeof key, device, what);
  snprintf(with_error, sizeof with_error, "%s.error", key);
  return (int)number(with_error);
}

static int read_number(const device_t *device, const char *what, unsigned long long *value) {
  char key[64];
  int error = failure(device, what);
  log_call(what, device->number);
  if (error) return error;
  key_of(key, sizeof key, device, what);
  *value = number(key);
  return SUCCESS;
}

static int read_text(const device_t *device, const char *what, char *value, unsigned int size) {
  char key[64];
  int error = failure(device, what);
  log_call(what, device->number);
  if (error) return error;
  key_of(key, sizeof key, device, what);
  return lookup(key, value, size) ? SUCCESS : NOT_FOUND;
}

int nvmlInitWithFlags(unsigned int flags) {
  (void)flags;
  log_call("init", -1);
  for (int i = 0; i < MAX_DEVICES; i++) devices[i].number = i;
  return (int)number("init");
}

int nvmlShutdown(void) {
  log_call("shutdown", -1);
  return (int)number("shutdown");
}

int nvmlDeviceGetCount_v2(unsigned int *count) {
  log_call("count", -1);
  *count = (unsigned int)number("count");
  return (int)number("count.error");
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, device_t **handle) {
  if (index >= number("count")) return INVALID_ARGUMENT;
  *handle = &devices[index];
  return failure(*handle, "handle");
}

int nvmlDeviceGetHandleByUUID(const char *uuid, device_t **handle) {
  char key[64], value[256];
  for (int i = 0; i < MAX_DEVICES; i++) {
    key_of(key, sizeof key, &devices[i], "uuid");
    if (lookup(key, value, sizeof value) && strcmp(value, uuid) == 0) {
      *handle = &devices[i];
      return SUCCESS;
    }
  }
  return NOT_FOUND;
}

int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(device_t *instance, device_t **whole) {
  char key[64];
  key_of(key, sizeof key, instance, "parent");
  *whole = &devices[number(key)];
  return SUCCESS;
}

int nvmlDeviceGetIndex(device_t *device, unsigned int *index) {
  *index = (unsigned int)device->number;
  return failure(device, "index");
}

int nvmlDeviceGetName(device_t *device, char *name, unsigned int size) { return read_text(device, "name", name, size); }

int nvmlDeviceGetUUID(device_t *device, char *uuid, unsigned int size) { return read_text(device, "uuid", uuid, size); }

int nvmlDeviceGetMemoryInfo(device_t *device, unsigned long long *total_free_used) {
  unsigned long long total = 0, used = 0;
  int error = read_number(device, "memory_total", &total);
  if (!error) error = read_number(device, "memory_used", &used);
  if (error) return error;
  total_free_used[0] = total;
  total_free_used[1] = total - used;
  total_free_used[2] = used;
  return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(device_t *device, unsigned int *gpu_and_memory) {
  unsigned long long sm = 0;
  int error = read_number(device, "sm", &sm);
  if (error) return error;
  gpu_and_memory[0] = (unsigned int)sm;
  gpu_and_memory[1] = 0;
  return SUCCESS;
}

int nvmlDeviceGetPowerUsage(device_t *device, unsigned int *milliwatts) {
  unsigned long long power = 0;
  int error = read_number(device, "power", &power);
  if (!error) *milliwatts = (unsigned int)power;
  return error;
}

int nvmlDeviceGetPcieThroughput(device_t *device, int counter, unsigned int *kilobytes) {
  unsigned long long rate = 0;
  int error = read_number(device, counter == 0 ? "pcie_tx" : "pcie_rx", &rate);
  if (!error) *kilobytes = (unsigned int)rate;
  return error;
}

const char *nvmlErrorString(int error) {
  static char text[32];
  snprintf(text, sizeof text, "planted error %d", error);
  return text;
}
