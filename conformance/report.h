/* report.h - a report for people (HTML) and for build servers (JUnit XML) from one description.
 *
 * The description is a JSON object:
 *   {"title":TEXT, "pass":BOOL, "verdict":TEXT, "seconds":NUMBER, "facts":[[NAME,VALUE],...],
 *    "cases":[{"group":TEXT,"name":TEXT,"ok":BOOL,"skipped":BOOL,"text":TEXT},...],
 *    "heat":{"title":TEXT,"bound":NUMBER,"columns":[TEXT,...],"rows":[[NAME,NUMBER or null,...],...]},
 *    "bars":{"title":TEXT,"bound":NUMBER,"values":[[NAME,NUMBER],...]}}
 * `heat`, `bars`, `seconds` and `skipped` may be missing. Values of heat and bars are at least 0; those above
 * `bound` are shown as failing. */
#ifndef VB_CONFORMANCE_REPORT_H
#define VB_CONFORMANCE_REPORT_H

#include "conformance/conformance.h"

/* One file that asks for nothing from outside and runs no script; follows the reader's choice of light or
 * dark. Well-formed XML too. */
void cf_add_html(vb_buf *out, const json_t *report);
/* One <testsuite>, a <testcase> per case, the text of a failed one as its <failure>, of one that was not
 * looked at (`skipped`) as its <skipped>. */
void cf_add_junit(vb_buf *out, const json_t *report);

/* Text between tags or in an attribute. What XML 1.0 cannot hold, control characters, comes as \xNN. */
void cf_add_xml(vb_buf *out, const char *text);

#endif
