/* filled by the next commits */
typedef int placeholder;
