/* Where a data file lies, and who may read it there. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "data/scan_int.h"

/* A folder's name, or its beginning, that says who copies what is in it. */
static const struct { const char *name, *who; bool whole; } synced[] = {
    { "Downloads", "the download folder", true },       { "Dropbox", "Dropbox", false },
    { "OneDrive", "OneDrive", false },                  { "Mobile Documents", "iCloud", true },
    { "com~apple~CloudDocs", "iCloud", true },          { "iCloud Drive", "iCloud", true },
    { "iCloudDrive", "iCloud", true },                  { "Google Drive", "Google Drive", false },
    { "GoogleDrive", "Google Drive", false },           { "My Drive", "Google Drive", true },
    { "Nextcloud", "Nextcloud", false },                { "ownCloud", "ownCloud", false },
    { "CloudStorage", "a cloud service", true },        { "pCloudDrive", "pCloud", true },
    { "Box Sync", "Box", true },                        { "Syncthing", "Syncthing", true },
};
/* A file that such a service leaves in its own folder, under whatever name. */
static const struct { const char *name, *who; } markers[] = {
    { ".dropbox", "Dropbox" },           { ".dropbox.cache", "Dropbox" },         { ".nextcloudsync.log", "Nextcloud" },
    { ".owncloudsync.log", "ownCloud" }, { ".stfolder", "Syncthing" },            { ".tmp.drivedownload", "Google Drive" },
    { ".tmp.driveupload", "Google Drive" },
};

static const char *by_name(const char *path)
{
    for (const char *p = path; *p;) {
        const size_t n = strcspn(p, "/");
        for (size_t i = 0; i < AC_COUNTOF(synced); i++) {
            const size_t m = strlen(synced[i].name);
            if (p[n] && n >= m && strncasecmp(p, synced[i].name, m) == 0 && (n == m || (!synced[i].whole && strchr(" -_(", p[m]))))
                return synced[i].who;
        }
        p += n + (p[n] == '/');
    }
    return NULL;
}

static const char *by_marker(const char *path, char *room, size_t size)
{
    for (size_t n = strlen(path); n > 0; n--) {
        if (path[n - 1] != '/') continue;
        for (size_t i = 0; i < AC_COUNTOF(markers); i++) {
            const int k = snprintf(room, size, "%.*s%s", (int)n, path, markers[i].name);
            if (k > 0 && (size_t)k < size && ac_path_exists(room)) return markers[i].who;
        }
    }
    return NULL;
}

ac_status ac_scan_place(ac_findings *f, const char *path, bool readers, ac_err *err)
{
    char full[PATH_MAX], room[PATH_MAX];
    ac_status st = AC_OK;
    unsigned mode = 0;
    if (!ac_path_real(full, sizeof full, path)) return AC_OK;    /* whoever reads the file says that it is not there */
    if (ac_file_is_sealed(full)) return AC_OK;                   /* encrypted, it may lie anywhere */
    const char *who = by_name(full);
    if (!who) who = by_marker(full, room, sizeof room);
    const uint64_t id = ac_hash_bytes(7, ac_view_of(path));
    if (who)
        st = ac_finding_add(f, AC_FIND_WARN, "place", id, 0, 0, 0, err, "%s lies in a folder of %s; what is copied from "
                            "there, and who may see it, is out of your hands", path, who);
    if (!st && readers && ac_path_open_to_all(full, &mode))
        st = ac_finding_add(f, AC_FIND_WARN, "place", ac_mix64(id), 0, 0, 0, err, "%s can be read by every user of this "
                            "machine (mode %03o); chmod o-r unless it is public", path, mode & 0777u);
    return st;
}
